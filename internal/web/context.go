package web

import "context"

type contextKey int

const (
	requestIDKey contextKey = iota
	maxBodyKey
)

// DefaultMaxBody is how many bytes DecodeJSON reads unless WithMaxBody says otherwise.
const DefaultMaxBody int64 = 1 << 20

// WithRequestID returns a context of the request that id identifies.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey, id)
}

// RequestID returns the id of ctx's request, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey).(string)
	return id
}

// WithMaxBody returns a context in which DecodeJSON reads at most n bytes.
func WithMaxBody(ctx context.Context, n int64) context.Context {
	return context.WithValue(ctx, maxBodyKey, n)
}

func maxBody(ctx context.Context) int64 {
	if n, ok := ctx.Value(maxBodyKey).(int64); ok && n > 0 {
		return n
	}
	return DefaultMaxBody
}
