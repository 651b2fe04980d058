package keystone

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"kmip-keymgr/internal/secret"
)

// MaxToken is the length of the longest token that is sent to Keystone, in bytes. Fernet tokens have about 200. A web
// server in front of Keystone may take less: uwsgi 4 KiB of headers, Apache 8 KiB for one, unless told otherwise.
const MaxToken = 16 << 10

// Token is what Keystone says about a token (Identity API v3, "Validate and show information for token"). It may be shared:
// it is not to be changed.
type Token struct {
	User      User
	Project   Project // the scope; its ID is empty for a token of another scope, or of none
	Domain    Domain  // the scope, likewise
	System    bool    // the scope is the system
	Roles     []string
	IssuedAt  time.Time
	ExpiresAt time.Time

	restricted bool // by the access rules of an application credential
	bound      bool
}

// Domain is a domain by its ID and name.
type Domain struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// User is a user, with the domain that makes the name unique.
type User struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Domain Domain `json:"domain"`
}

// Project is a project, with the domain that makes the name unique.
type Project struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Domain Domain `json:"domain"`
}

// hasRole reports whether one of the roles is the token's, by name.
func (t *Token) hasRole(names ...string) bool {
	return slices.ContainsFunc(t.Roles, func(role string) bool { return slices.Contains(names, role) })
}

// expired goes by this machine's clock. No validity left is none, as in keystonemiddleware.
func (t *Token) expired(now time.Time) bool { return !now.Before(t.ExpiresAt) }

// answer is the body of Keystone's answer to either request.
type answer struct {
	Token struct {
		User    User    `json:"user"`
		Project Project `json:"project"`
		Domain  Domain  `json:"domain"`
		System  struct {
			All bool `json:"all"`
		} `json:"system"`
		Roles []struct {
			Name string `json:"name"`
		} `json:"roles"`
		IssuedAt    time.Time                  `json:"issued_at"`
		ExpiresAt   time.Time                  `json:"expires_at"`
		Bind        map[string]json.RawMessage `json:"bind"`
		Application struct {
			AccessRules []json.RawMessage `json:"access_rules"`
		} `json:"application_credential"`
	} `json:"token"`
}

// parseToken reads Keystone's answer. It refuses one that does not say who, until when, and for at most one scope.
func parseToken(body []byte) (*Token, error) {
	var a answer
	if json.Unmarshal(body, &a) != nil {
		return nil, unusable("is not a token in JSON")
	}
	t := a.token()
	if t.User.ID == "" || t.ExpiresAt.IsZero() || t.scopes() > 1 {
		return nil, unusable("is not a whole token")
	}
	return t, nil
}

func (a *answer) token() *Token {
	w := &a.Token
	t := &Token{
		User: w.User, Project: w.Project, Domain: w.Domain, System: w.System.All,
		IssuedAt: w.IssuedAt, ExpiresAt: w.ExpiresAt,
		restricted: w.Application.AccessRules != nil, bound: len(w.Bind) > 0,
	}
	for _, role := range w.Roles {
		t.Roles = append(t.Roles, role.Name)
	}
	return t
}

func (t *Token) scopes() (n int) {
	for _, in := range [...]bool{t.Project.ID != "", t.Domain.ID != "", t.System} {
		if in {
			n++
		}
	}
	return n
}

// headerText is the token as a header can carry it, without the spaces around it. Nothing but visible ASCII may be in it,
// so that no token ends its header and begins another.
func headerText(token secret.Bytes) (string, error) {
	text := bytes.Trim(token, " ")
	switch {
	case len(text) == 0:
		return "", refused("there is none")
	case len(text) > MaxToken:
		return "", refused("it is longer than 16 KiB")
	case slices.ContainsFunc(text, func(b byte) bool { return b <= ' ' || b > '~' }):
		return "", refused("it has bytes that no token has")
	}
	return string(text), nil
}
