package bulk

import (
	"encoding/json"
	"slices"
	"strings"
)

// secretNames are parts of names, in lower case and without _ and -, whose values are secret.
var secretNames = []string{"password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey", "signingkey", "credential", "authorization", "cookie", "signature"}

// redacted is what stands in the place of a secret.
const redacted = "[redacted]"

// PublicArgs is Args for people to read: what stands under a name such as password, token,
// secret, api_key or authorization, at any depth, is left out. Like Args it is JSON.
func (r Run) PublicArgs() json.RawMessage {
	var v any
	if len(r.Args) == 0 || json.Unmarshal(r.Args, &v) != nil {
		return json.RawMessage(`null`)
	}
	b, err := json.Marshal(redact(v))
	if err != nil {
		return json.RawMessage(`null`)
	}
	return b
}

func redact(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if secret(name) && value != nil {
				v[name] = redacted
			} else {
				v[name] = redact(value)
			}
		}
	case []any:
		for i := range v {
			v[i] = redact(v[i])
		}
	}
	return v
}

func secret(name string) bool {
	name = strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(name))
	return slices.ContainsFunc(secretNames, func(s string) bool { return strings.Contains(name, s) })
}
