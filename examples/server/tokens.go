package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

// secret is what this installation's development tokens and upload URLs come from: the
// same after a restart.
type secret []byte

func secretOf(dir string) (secret, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { // a server that is started there may be another user's
		return nil, err
	}
	name := filepath.Join(dir, "secret")
	for {
		data, err := os.ReadFile(name)
		switch {
		case err == nil && len(data) == 64:
			return secret(data), nil
		case err == nil:
			return nil, fmt.Errorf("%s is damaged: remove it, and a new one is made", name)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
		random := make([]byte, 32)
		_, _ = rand.Read(random) // never fails
		// Written aside and linked, so that of two processes that start at once one wins
		// and no one reads half a secret.
		temporary := fmt.Sprintf("%s.%d", name, os.Getpid())
		if err := os.WriteFile(temporary, []byte(hex.EncodeToString(random)), 0o600); err != nil {
			return nil, err
		}
		err = os.Link(temporary, name)
		_ = os.Remove(temporary)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
}

func (s secret) derive(purpose string) []byte {
	m := hmac.New(sha256.New, s)
	_, _ = m.Write([]byte(purpose)) // never fails
	return m.Sum(nil)
}

// tokens are the bearer tokens of development, with whom each stands for.
type tokens map[string]tenancy.Actor

// devTokens makes a token for the seeded company's owner and one for an administrator,
// and adds those of STRATA_DEV_TOKENS: token=userID:companyID:role, separated by commas. With
// an empty role what counts is what the user is a member of.
func devTokens(s secret, f *facts) (tokens, error) {
	f.Token = "dev_" + hex.EncodeToString(s.derive("token:" + f.CompanyID.String())[:16])
	f.AdminToken = "adm_" + hex.EncodeToString(s.derive("admin")[:16])
	t := tokens{
		f.Token:      {ID: "dev-owner", Type: tenancy.ActorUser, Email: "owner@example.com", CompanyID: f.CompanyID, Role: access.CompanyOwner},
		f.AdminToken: {ID: "dev-admin", Type: tenancy.ActorAdmin, Email: "admin@example.com"},
	}
	for _, entry := range strings.Split(os.Getenv("STRATA_DEV_TOKENS"), ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		token, who, _ := strings.Cut(entry, "=")
		parts := strings.Split(who, ":")
		if token == "" || len(parts) != 3 {
			return nil, fmt.Errorf("STRATA_DEV_TOKENS: %q is not token=userID:companyID:role", entry)
		}
		company, err := tenancy.ParseID[tenancy.Company](parts[1])
		if err != nil {
			return nil, fmt.Errorf("STRATA_DEV_TOKENS: company of %q: %w", parts[0], err)
		}
		if parts[0] == "" || parts[2] != "" && !access.Allows(parts[2], access.CompanyRead) {
			return nil, fmt.Errorf("STRATA_DEV_TOKENS: %q: want a user id and a role such as %s", who, access.WorkspaceAdmin)
		}
		t[token] = tenancy.Actor{ID: parts[0], Type: tenancy.ActorUser, CompanyID: company, Role: parts[2]}
	}
	return t, nil
}

// principal says who a request's bearer token stands for.
func (t tokens) principal(r *http.Request) (tenancy.Actor, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if actor, known := t[token]; ok && known {
		return actor, nil
	}
	return tenancy.Actor{}, tenancyhttp.ErrUnauthenticated
}

// browser is principal for pages: it takes the password of HTTP basic authentication (RFC
// 7617), which a browser can ask for, as a token too, whatever the name. The API does not:
// a browser sends a password also when another site tells it to.
func (t tokens) browser(r *http.Request) (tenancy.Actor, error) {
	if _, password, ok := r.BasicAuth(); ok {
		if actor, known := t[password]; known {
			return actor, nil
		}
	}
	return t.principal(r)
}
