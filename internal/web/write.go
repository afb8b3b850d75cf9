package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
)

// Data is the body of an answer that is one thing.
type Data[T any] struct {
	Data T `json:"data" required:"true"`
}

// List is the body of an answer that is one page of things.
type List[T any] struct {
	Data []T  `json:"data" nullable:"false" required:"true"`
	Meta Meta `json:"meta" required:"true"`
}

// Meta says which part of a list a page is.
type Meta struct {
	// Total is how many there are in all; null when that was not counted, as with a cursor.
	Total           *int64 `json:"total"`
	TotalIsEstimate bool   `json:"totalIsEstimate,omitempty"`
	Page            int    `json:"page"`
	PageSize        int    `json:"pageSize"`
	HasMore         bool   `json:"hasMore"`
	NextCursor      string `json:"nextCursor,omitempty"`
}

// Total makes Meta.Total of a count in which a negative number means "not counted".
func Total(n int64) *int64 {
	if n < 0 {
		return nil
	}
	return &n
}

// WriteJSON answers with v. It returns an error, having written nothing, only when v
// cannot be JSON; that the client is gone is no error of the handler.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false) // the content type says it is JSON, and a URL stays what it is
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("web: write the answer: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
	return nil
}

// WriteData answers {"data": v}.
func WriteData[T any](w http.ResponseWriter, status int, v T) error {
	return WriteJSON(w, status, Data[T]{v})
}

// WriteList answers 200 with a page: {"data": [...], "meta": {...}}. No items are [].
func WriteList[T any](w http.ResponseWriter, items []T, m Meta) error {
	if items == nil {
		items = []T{}
	}
	return WriteJSON(w, http.StatusOK, List[T]{items, m})
}
