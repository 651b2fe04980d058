package keystone

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// measured is an answer of Keystone 22.0.2.
const measured = `{"token": {"methods": ["application_credential"], "user": {"domain": {"id": "default", "name": "Default"},
 "id": "6b5dc65b966a4f48a658e6192ce19b38", "name": "admin", "password_expires_at": null}, "audit_ids": ["I6Fac8H1R52fWd-at_liGA"],
 "expires_at": "2026-11-23T14:27:04.000000Z", "issued_at": "2026-11-23T13:27:04.000000Z",
 "project": {"domain": {"id": "default", "name": "Default"}, "id": "2eabb94016134f53bb351b71db9a7d17", "name": "admin"},
 "is_domain": false, "roles": [{"id": "2ae4158d680e4bcaa0ad232b1ec08d5a", "name": "admin"}],
 "application_credential": {"id": "a", "name": "n", "restricted": true}}}`

func TestParseToken(t *testing.T) {
	got, err := parseToken([]byte(measured))
	require.NoError(t, err)
	issued := time.Date(2026, 11, 23, 13, 27, 4, 0, time.UTC)
	domain := Domain{"default", "Default"}
	require.Equal(t, &Token{
		User:     User{"6b5dc65b966a4f48a658e6192ce19b38", "admin", domain},
		Project:  Project{"2eabb94016134f53bb351b71db9a7d17", "admin", domain},
		Roles:    []string{"admin"},
		IssuedAt: issued, ExpiresAt: issued.Add(time.Hour),
	}, got)
}

func TestParseScopes(t *testing.T) {
	for name, row := range map[string]struct {
		more string
		want func(*Token)
	}{
		"none":              {`"x":1`, func(*Token) {}},
		"domain":            {`"domain":{"id":"d","name":"D"}`, func(k *Token) { k.Domain = Domain{"d", "D"} }},
		"system":            {`"system":{"all":true}`, func(k *Token) { k.System = true }},
		"access rules":      {`"application_credential":{"access_rules":[]}`, func(k *Token) { k.restricted = true }},
		"access rules null": {`"application_credential":{"access_rules":null}`, func(*Token) {}},
		"an empty bind":     {`"bind":{}`, func(*Token) {}},
		"bind":              {`"bind":{"kerberos":"x"}`, func(k *Token) { k.bound = true }},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseToken([]byte(`{"token":{"user":{"id":"u"},"expires_at":"2026-11-23T14:27:04Z",` + row.more + `}}`))
			require.NoError(t, err)
			want := &Token{User: User{ID: "u"}, ExpiresAt: time.Date(2026, 11, 23, 14, 27, 4, 0, time.UTC)}
			row.want(want)
			require.Equal(t, want, got)
		})
	}
}

// FuzzToken: no answer of Keystone's panics, and what is taken for a token says who and until when.
func FuzzToken(f *testing.F) {
	f.Add([]byte(measured))
	f.Add([]byte(`{"token":{"user":{"id":"u"},"expires_at":"2026-11-23T14:27:04Z","system":{"all":true},"bind":{"a":1}}}`))
	f.Add([]byte(`{"token":null}`))
	f.Add([]byte(`[[[[`))
	f.Fuzz(func(t *testing.T, body []byte) {
		token, err := parseToken(body)
		if err != nil {
			require.ErrorIs(t, err, errUnusable)
			return
		}
		require.NotEmpty(t, token.User.ID)
		require.False(t, token.ExpiresAt.IsZero())
		require.LessOrEqual(t, token.scopes(), 1)
		usefulLife(token, time.Now())
		(&reply{status: 201, token: string(body), body: body}).issued()
	})
}

// FuzzHeaderText: what goes into a header is one line of visible ASCII.
func FuzzHeaderText(f *testing.F) {
	f.Add([]byte("gAAAAA"))
	f.Add([]byte(" a\r\nb "))
	f.Fuzz(func(t *testing.T, token []byte) {
		text, err := headerText(token)
		if err != nil {
			require.ErrorIs(t, err, TokenRefused)
			return
		}
		require.Regexp(t, `^[!-~]+$`, text)
		require.LessOrEqual(t, len(text), MaxToken)
	})
}
