package keystone

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/internal/secret"
)

func TestRequestBodies(t *testing.T) {
	password := secret.Bytes(`p<"ä`)
	app := Config{AuthType: ApplicationCredential, ApplicationCredentialSecret: secret.Bytes("s")}
	byID, byName := app, app
	byID.ApplicationCredentialID = "a1"
	byName.ApplicationCredentialName, byName.Username, byName.UserDomainID = "a", "u", "d"
	for name, row := range map[string]struct {
		config Config
		want   string
	}{
		"names": {
			Config{Username: "u", UserDomainName: "D", Password: password, ProjectName: "p", ProjectDomainID: "d"},
			`{"auth":{"identity":{"methods":["password"],"password":{"user":{"domain":{"name":"D"},"name":"u","password":"p\u003c\"ä"}}},
			  "scope":{"project":{"domain":{"id":"d"},"name":"p"}}}}`,
		},
		"ids beat names": {
			Config{UserID: "u1", Username: "u", UserDomainID: "d", Password: password, ProjectID: "p1", ProjectName: "p"},
			`{"auth":{"identity":{"methods":["password"],"password":{"user":{"id":"u1","password":"p\u003c\"ä"}}},"scope":{"project":{"id":"p1"}}}}`,
		},
		"domain scope": {
			Config{UserID: "u1", Password: password, DomainName: "D"},
			`{"auth":{"identity":{"methods":["password"],"password":{"user":{"id":"u1","password":"p\u003c\"ä"}}},"scope":{"domain":{"name":"D"}}}}`,
		},
		"trust": {
			Config{UserID: "u1", Password: password, TrustID: "t1"},
			`{"auth":{"identity":{"methods":["password"],"password":{"user":{"id":"u1","password":"p\u003c\"ä"}}},"scope":{"OS-TRUST:trust":{"id":"t1"}}}}`,
		},
		"system": {
			Config{UserID: "u1", Password: password, SystemScope: "all"},
			`{"auth":{"identity":{"methods":["password"],"password":{"user":{"id":"u1","password":"p\u003c\"ä"}}},"scope":{"system":{"all":true}}}}`,
		},
		"token": {
			Config{AuthType: TokenAuth, Token: secret.Bytes("t"), ProjectID: "p1"},
			`{"auth":{"identity":{"methods":["token"],"token":{"id":"t"}},"scope":{"project":{"id":"p1"}}}}`,
		},
		"application credential": {
			byID,
			`{"auth":{"identity":{"application_credential":{"id":"a1","secret":"s"},"methods":["application_credential"]}}}`,
		},
		"application credential by name": {
			byName,
			`{"auth":{"identity":{"application_credential":{"name":"a","secret":"s","user":{"domain":{"id":"d"},"name":"u"}},
			  "methods":["application_credential"]}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, row.config.check())
			got, err := row.config.request()
			require.NoError(t, err)
			require.Equal(t, compact(t, row.want), string(got))
		})
	}
}

func TestAuthenticate(t *testing.T) {
	f := newFake(t)
	own, err := f.client(t).Authenticate(t.Context())
	require.NoError(t, err)
	require.Equal(t, "own-"+secretWords+"-1", string(own.Text))
	require.Equal(t, "me-id", own.User.ID)
	require.NotContains(t, fmt.Sprintf("%v %+v", own, own), secretWords)
}

// TestRenewal holds our token until two minutes before its end, whatever this machine's clock says.
func TestRenewal(t *testing.T) {
	for name, skew := range map[string]time.Duration{"same clock": 0, "ours is ahead": -3 * time.Hour, "ours is behind": 3 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				f.onLogin = func(w http.ResponseWriter, _ *http.Request) bool {
					now := time.Now().Add(skew).UTC()
					w.Header().Set("X-Subject-Token", fmt.Sprint("own", now.Unix()))
					w.WriteHeader(http.StatusCreated)
					fmt.Fprintf(w, `{"token":{"user":{"id":"u"},"issued_at":%q,"expires_at":%q}}`,
						now.Format(time.RFC3339), now.Add(time.Hour).Format(time.RFC3339))
					return true
				}
				c := f.client(t)
				first, err := c.Authenticate(t.Context())
				require.NoError(t, err)
				time.Sleep(57 * time.Minute)
				same, err := c.Authenticate(t.Context())
				require.NoError(t, err)
				require.Same(t, first, same)
				time.Sleep(2 * time.Minute)
				next, err := c.Authenticate(t.Context())
				require.NoError(t, err)
				require.NotEqual(t, string(first.Text), string(next.Text))
				f.server.Close()
			})
		})
	}
}

func TestShortLivedTokenIsUsedForHalfItsLife(t *testing.T) {
	now := time.Now()
	require.Equal(t, 30*time.Second, usefulLife(&Token{IssuedAt: now, ExpiresAt: now.Add(time.Minute)}, now))
	require.Equal(t, 58*time.Minute, usefulLife(&Token{ExpiresAt: now.Add(time.Hour)}, now))
}

// TestOneLoginAtATime: many who want a token make one request for it, whether it brings one or not.
func TestOneLoginAtATime(t *testing.T) {
	for name, status := range map[string]int{"accepted": 0, "refused": http.StatusUnauthorized, "broken": http.StatusNotImplemented} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				f.onLogin = func(w http.ResponseWriter, _ *http.Request) bool {
					time.Sleep(time.Second)
					if status != 0 {
						fail(w, status)
					}
					return status != 0
				}
				c := f.client(t)
				var wait sync.WaitGroup
				for range 50 {
					wait.Go(func() {
						_, err := c.Authenticate(t.Context())
						require.Equal(t, status == 0, err == nil)
					})
				}
				wait.Wait()
				logins, _ := f.counts()
				require.Equal(t, 1, logins)
				f.server.Close()
			})
		})
	}
}

// TestRefusalHolds: wrong passwords are not tried over and over, since Keystone may lock the user.
func TestRefusalHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, right := newFake(t), false
		f.onLogin = func(w http.ResponseWriter, _ *http.Request) bool {
			if !right {
				fail(w, http.StatusUnauthorized)
			}
			return !right
		}
		c := f.client(t)
		for range 10 {
			_, err := c.Authenticate(t.Context())
			requireFailure(t, IdentityRefused, err)
		}
		logins, _ := f.counts()
		require.Equal(t, 1, logins)
		right = true
		time.Sleep(refusalHolds)
		_, err := c.Authenticate(t.Context())
		require.NoError(t, err)
		f.server.Close()
	})
}

// TestImpatientCaller: whoever gives up takes nobody along.
func TestImpatientCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.onLogin = func(http.ResponseWriter, *http.Request) bool { time.Sleep(5 * time.Second); return false }
		c := f.client(t)
		var wait sync.WaitGroup
		wait.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := c.Authenticate(ctx)
			requireFailure(t, Unavailable, err)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
		wait.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second/2, cancel)
			time.Sleep(time.Second / 4)
			_, err := c.Authenticate(ctx) // waits for its turn
			requireFailure(t, Unavailable, err)
			require.ErrorIs(t, err, context.Canceled)
		})
		wait.Go(func() {
			time.Sleep(time.Second / 4)
			_, err := c.Authenticate(t.Context())
			require.NoError(t, err)
		})
		wait.Wait()
		f.server.Close()
	})
}

func TestLoginAnswers(t *testing.T) {
	good := tokenJSON("me", time.Now().Add(time.Hour), "")
	for name, row := range map[string]struct {
		status      int
		token, body string
		want        Failure
	}{
		"400":                   {400, "", "", IdentityRefused},
		"401":                   {401, "", "", IdentityRefused},
		"403":                   {403, "", "", IdentityRefused},
		"404":                   {404, "", "", IdentityRefused},
		"408":                   {408, "", "", Unavailable},
		"429":                   {429, "", "", Unavailable},
		"300":                   {300, "", "", Unavailable},
		"501":                   {501, "", "", Unavailable},
		"200":                   {200, "t", good, Unavailable},
		"no token in a header":  {201, "", good, Unavailable},
		"an impossible token":   {201, "a b", good, Unavailable},
		"no JSON":               {201, "t", "gAAAA-" + secretWords, Unavailable},
		"JSON of another shape": {201, "t", `{"token":"gAAAA"}`, Unavailable},
		"no user":               {201, "t", `{"token":{"expires_at":"2030-01-01T00:00:00Z"}}`, Unavailable},
		"an empty body":         {201, "t", "", Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.onLogin = func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("X-Subject-Token", row.token)
				w.WriteHeader(row.status)
				io.WriteString(w, row.body)
				return true
			}
			_, err := f.client(t).Authenticate(t.Context())
			e := requireFailure(t, row.want, err)
			require.Equal(t, row.status, e.Status)
			logins, _ := f.counts()
			require.Equal(t, 1, logins)
		})
	}
}
