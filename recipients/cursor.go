package recipients

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/stratakit/strata/tenancy"
)

// A cursor is the sort value and id of the last row of a page, a sum of the query that it
// belongs to, and what is known of its plan.
type cursorKey struct {
	Query string  `json:"q"`
	Value *string `json:"v,omitempty"` // nil: none, or sorted by id
	ID    ID      `json:"id"`
	Few   bool    `json:"few,omitempty"` // only few match
}

func querySum(q Query) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%t\x00%s\x00%s\x00%s", q.Deleted, q.Filter, q.Search, q.Sort))
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}

func makeCursor(key cursorKey) string {
	data, _ := json.Marshal(key) // texts and an id
	return base64.RawURLEncoding.EncodeToString(data)
}

func parseCursor(s string, q Query) (cursorKey, error) {
	var key cursorKey
	data, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || json.Unmarshal(data, &key) != nil || key.ID.IsZero() || key.Query != querySum(q) {
		return key, tenancy.ErrInvalidCursor
	}
	return key, nil
}
