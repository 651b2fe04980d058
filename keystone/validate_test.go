package keystone

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/internal/secret"
)

const scoped = `"project":{"domain":{"id":"default","name":"Default"},"id":"p1","name":"demo"},"roles":[{"id":"1","name":"member"},{"id":"2","name":"reader"}]`

func bytesOf(s string) secret.Bytes { return secret.Bytes(s) }

func TestValidate(t *testing.T) {
	f := newFake(t)
	f.know("alice", tokenJSON("alice", time.Now().Add(time.Hour), scoped))
	got, err := f.client(t).Validate(t.Context(), bytesOf("alice"), nil)
	require.NoError(t, err)
	require.Equal(t, User{"alice-id", "alice", Domain{"default", "Default"}}, got.User)
	require.Equal(t, Project{"p1", "demo", Domain{"default", "Default"}}, got.Project)
	require.Equal(t, []string{"member", "reader"}, got.Roles)
	require.True(t, got.hasRole("admin", "reader"))
	require.False(t, got.hasRole("admin"))
	require.Zero(t, got.Domain)
}

// TestTokensNeverSent are refused without a request.
func TestTokensNeverSent(t *testing.T) {
	f := newFake(t)
	c := f.client(t)
	for name, token := range map[string]string{
		"none": "", "spaces": "  ", "a line more": "a\r\nX-Auth-Token: b", "a line's end": "a\n", "NUL": "a\x00", "DEL": "a\x7f",
		"a tab": "a\tb", "a space within": "a b", "not ASCII": "aä", "not UTF-8": "a\xff", "too long": strings.Repeat("a", MaxToken+1),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.Validate(t.Context(), bytesOf(token), nil)
			requireFailure(t, TokenRefused, err)
			if token != "" {
				_, err = c.Validate(t.Context(), bytesOf("alice"), bytesOf(token))
				requireFailure(t, TokenRefused, err)
			}
		})
	}
	logins, asked := f.counts()
	require.Zero(t, logins+asked)
}

func TestLongTokens(t *testing.T) {
	f := newFake(t)
	for _, size := range []int{200, 8 << 10, MaxToken} {
		token := strings.Repeat("a", size)
		f.know(token, tokenJSON("alice", time.Now().Add(time.Hour), scoped))
		_, err := f.client(t).Validate(t.Context(), bytesOf(" "+token+" "), nil)
		require.NoError(t, err)
	}
}

// TestWhomToBlame is what Keystone may answer to a validation when our own token is good.
func TestWhomToBlame(t *testing.T) {
	for name, row := range map[string]struct {
		status int
		body   string
		want   Failure
		asked  int // requests about tokens
		logins int
	}{
		"404":             {404, "", TokenRefused, 2, 1},
		"401":             {401, "", IdentityRefused, 2, 2},
		"403":             {403, "", IdentityRefused, 1, 1},
		"400":             {400, "", Unavailable, 1, 1},
		"429":             {429, "", Unavailable, 1, 1},
		"431":             {431, "", Unavailable, 1, 1},
		"204":             {204, "", Unavailable, 1, 1},
		"302":             {302, "", Unavailable, 1, 1},
		"501":             {501, "", Unavailable, 1, 1},
		"an empty body":   {200, "", Unavailable, 1, 1},
		"no JSON":         {200, "gAAAA-" + secretWords, Unavailable, 1, 1},
		"half":            {200, tokenJSON("alice", time.Now(), scoped)[:200], Unavailable, 1, 1},
		"another shape":   {200, `["gAAAA"]`, Unavailable, 1, 1},
		"null":            {200, `{"token":null}`, Unavailable, 1, 1},
		"too deep":        {200, strings.Repeat("[", 100_000), Unavailable, 1, 1},
		"too long":        {200, strings.Repeat(" ", maxBody+1), Unavailable, 1, 1},
		"two scopes":      {200, tokenJSON("alice", time.Now().Add(time.Hour), scoped+`,"domain":{"id":"d"}`), Unavailable, 1, 1},
		"no user":         {200, `{"token":{"expires_at":"2030-01-01T00:00:00Z"}}`, Unavailable, 1, 1},
		"no expiry":       {200, `{"token":{"user":{"id":"u"}}}`, Unavailable, 1, 1},
		"a wrong date":    {200, `{"token":{"user":{"id":"u"},"expires_at":"soon"}}`, Unavailable, 1, 1},
		"expired":         {200, tokenJSON("alice", time.Now().Add(-time.Second), scoped), TokenRefused, 1, 1},
		"bound":           {200, tokenJSON("alice", time.Now().Add(time.Hour), scoped+`,"bind":{"kerberos":"alice"}`), TokenRefused, 1, 1},
		"access rules":    {200, tokenJSON("alice", time.Now().Add(time.Hour), scoped+`,"application_credential":{"access_rules":[{"path":"/"}]}`), TokenRefused, 1, 1},
		"no access rules": {200, tokenJSON("alice", time.Now().Add(time.Hour), scoped+`,"application_credential":{"access_rules":[]}`), TokenRefused, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.onAsk = func(w http.ResponseWriter, _ *http.Request, subject string) bool {
				if subject == "alice" {
					w.Header().Set("Location", "http://elsewhere.test/v3/auth/tokens")
					w.WriteHeader(row.status)
					io.WriteString(w, row.body)
				}
				return subject == "alice"
			}
			_, err := f.client(t).Validate(t.Context(), bytesOf("alice"), nil)
			requireFailure(t, row.want, err)
			logins, asked := f.counts()
			require.Equal(t, row.logins, logins, "logins")
			require.Equal(t, row.asked, asked, "requests")
		})
	}
}

// TestOwnTokenLost: the server's user, project or token is gone, and Keystone says so in one of its ways, about a subject
// and then about our token itself.
func TestOwnTokenLost(t *testing.T) {
	for name, row := range map[string]struct{ subject, itself int }{
		"401": {401, 401}, "404 and 401": {404, 401}, "404 and 403": {404, 403}, "404": {404, 404},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.know("alice", tokenJSON("alice", time.Now().Add(time.Hour), scoped))
			var lost string
			refuse := func(w http.ResponseWriter, r *http.Request, subject string) bool {
				if subject == r.Header.Get("X-Auth-Token") {
					fail(w, row.itself)
				} else {
					fail(w, row.subject)
				}
				return true
			}
			f.onAsk = func(w http.ResponseWriter, r *http.Request, subject string) bool {
				return r.Header.Get("X-Auth-Token") == lost && refuse(w, r, subject)
			}
			c := f.client(t)
			own, err := c.Authenticate(t.Context())
			require.NoError(t, err)
			lost = string(own.Text)

			_, err = c.Validate(t.Context(), bytesOf("alice"), nil)
			require.NoError(t, err, "with a new token of our own")

			f.onAsk = refuse
			f.onLogin = func(w http.ResponseWriter, _ *http.Request) bool { fail(w, 401); return true }
			_, err = c.Validate(t.Context(), bytesOf("bob"), nil)
			requireFailure(t, IdentityRefused, err)
		})
	}
}

// TestLostTokenIsNotGivenOut: Keystone refuses our token and then goes away. A token known to be no good is not used again.
func TestLostTokenIsNotGivenOut(t *testing.T) {
	for name, login := range map[string]func(http.ResponseWriter){
		"hangs up": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"refuses":  func(w http.ResponseWriter) { fail(w, 401) },
		"broken":   func(w http.ResponseWriter) { fail(w, 501) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			c := f.client(t, func(c *Config) { c.Retries = 0 })
			own, err := c.Authenticate(t.Context())
			require.NoError(t, err)
			require.NotNil(t, own)
			f.onAsk = func(w http.ResponseWriter, _ *http.Request, _ string) bool { fail(w, 401); return true }
			f.onLogin = func(w http.ResponseWriter, _ *http.Request) bool { login(w); return true }
			_, err = c.Validate(t.Context(), bytesOf("alice"), nil)
			require.Error(t, err)
			_, asked := f.counts()
			require.Equal(t, 1, asked)

			own, err = c.Authenticate(t.Context())
			require.Error(t, err)
			require.Nil(t, own)
			_, err = c.Validate(t.Context(), bytesOf("alice"), nil)
			require.Error(t, err)
			_, asked = f.counts()
			require.Equal(t, 1, asked, "nothing is asked with it")
		})
	}
}

func TestKeystoneBreaksWhileInDoubt(t *testing.T) {
	f := newFake(t)
	f.onAsk = func(w http.ResponseWriter, _ *http.Request, subject string) bool {
		status := 404
		if strings.HasPrefix(subject, "own-") {
			status = 501
		}
		fail(w, status)
		return true
	}
	_, err := f.client(t).Validate(t.Context(), bytesOf("bob"), nil)
	requireFailure(t, Unavailable, err)
}

func TestServiceTokens(t *testing.T) {
	future, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	restricted := scoped + `,"application_credential":{"access_rules":[{"path":"/v2.1/servers","method":"GET","service":"compute"}]}`
	known := map[string]string{
		"fresh":                 tokenJSON("alice", future, scoped),
		"expired?allow_expired": tokenJSON("alice", past, scoped),
		"lately?allow_expired":  tokenJSON("alice", future, scoped),
		"ruled":                 tokenJSON("alice", future, restricted),
		"nova":                  tokenJSON("nova", future, `"roles":[{"name":"service"}]`),
		"old-nova":              tokenJSON("nova", past, `"roles":[{"name":"service"}]`),
		"bob":                   tokenJSON("bob", future, scoped),
		"ruled-nova":            tokenJSON("nova", future, `"roles":[{"name":"service"}],"application_credential":{"access_rules":[]}`),
	}
	for name, row := range map[string]struct {
		subject, service string
		strict, refused  bool
	}{
		"fresh alone":                             {"fresh", "", false, false},
		"fresh with a service":                    {"fresh", "nova", false, false},
		"fresh with somebody":                     {"fresh", "bob", false, false},
		"fresh with somebody, roles required":     {"fresh", "bob", true, true},
		"fresh with garbage":                      {"fresh", "garbage", false, true},
		"fresh with an expired service":           {"fresh", "old-nova", false, true},
		"expired alone":                           {"expired", "", false, true},
		"expired with a service":                  {"expired", "nova", false, false},
		"expired with somebody":                   {"expired", "bob", false, true},
		"expired with itself":                     {"expired", "expired", false, true},
		"expired with an expired service":         {"expired", "old-nova", false, true},
		"expired by Keystone's clock alone":       {"lately", "", false, true},
		"garbage with a service":                  {"garbage", "nova", false, true},
		"access rules with a service":             {"ruled", "nova", false, false},
		"access rules with somebody":              {"ruled", "bob", false, true},
		"access rules with a service under rules": {"ruled", "ruled-nova", false, true},
		"expired with a service under rules":      {"expired", "ruled-nova", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.known = known
			c := f.client(t, func(c *Config) { c.ServiceRolesRequired = row.strict })
			for range 2 { // the second time from the cache
				_, err := c.Validate(t.Context(), bytesOf(row.subject), bytesOf(row.service))
				if row.refused {
					requireFailure(t, TokenRefused, err)
				} else {
					require.NoError(t, err)
				}
			}
		})
	}
}

// TestExpiredNeedsItsServiceEveryTime: what the cache holds for a caller with a service token is nothing to one without.
func TestExpiredNeedsItsServiceEveryTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.know("expired?allow_expired", tokenJSON("alice", time.Now().Add(-time.Minute), scoped))
		f.know("nova", tokenJSON("nova", time.Now().Add(time.Hour), `"roles":[{"name":"service"}]`))
		c := f.client(t)
		for range 3 {
			_, err := c.Validate(t.Context(), bytesOf("expired"), bytesOf("nova"))
			require.NoError(t, err)
		}
		_, asked := f.counts()
		require.Equal(t, 2, asked)
		_, err := c.Validate(t.Context(), bytesOf("expired"), nil)
		requireFailure(t, TokenRefused, err)
		f.know("expired?allow_expired", "")
		time.Sleep(expiredCacheTime)
		_, err = c.Validate(t.Context(), bytesOf("expired"), bytesOf("nova"))
		requireFailure(t, TokenRefused, err)
		f.server.Close()
	})
}

func TestCacheTimes(t *testing.T) {
	for name, row := range map[string]struct {
		cacheTime, life, hit, miss time.Duration
	}{
		"until the cache time": {5 * time.Minute, time.Hour, 299 * time.Second, 300 * time.Second},
		"until it expires":     {5 * time.Minute, time.Minute, 59 * time.Second, 60 * time.Second},
		"not at all":           {0, time.Hour, -1, 0},
		"off":                  {-time.Second, time.Hour, -1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				start := time.Now()
				f.know("alice", tokenJSON("alice", start.Add(row.life), scoped))
				c := f.client(t, func(c *Config) { c.CacheTime = row.cacheTime })
				requests := func(at time.Duration) int {
					time.Sleep(time.Until(start.Add(at)))
					_, before := f.counts()
					_, err := c.Validate(t.Context(), bytesOf("alice"), nil)
					if at < row.life {
						require.NoError(t, err)
					}
					_, after := f.counts()
					return after - before
				}
				require.Equal(t, 1, requests(0))
				if row.hit >= 0 {
					require.Equal(t, 0, requests(row.hit))
				}
				require.NotZero(t, requests(row.miss))
				f.server.Close()
			})
		})
	}
}

// TestSlowAnswerIsOldNews: what a slow Keystone said would be believed for longer than token_cache_time after it was asked.
func TestSlowAnswerIsOldNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.know("alice", tokenJSON("alice", time.Now().Add(time.Hour), scoped))
		f.onAsk = func(http.ResponseWriter, *http.Request, string) bool { time.Sleep(5 * time.Second); return false }
		c := f.client(t, func(c *Config) { c.CacheTime = time.Minute })
		_, err := c.Validate(t.Context(), bytesOf("alice"), nil)
		require.NoError(t, err)
		f.know("alice", "")
		time.Sleep(time.Minute - 6*time.Second)
		_, err = c.Validate(t.Context(), bytesOf("alice"), nil)
		require.NoError(t, err, "from the cache")
		time.Sleep(time.Second)
		_, err = c.Validate(t.Context(), bytesOf("alice"), nil)
		requireFailure(t, TokenRefused, err)
		f.server.Close()
	})
}

// TestExpiresInTheCache: a token revoked meanwhile would be believed beside a service's for as long as the cache holds it,
// though it has expired.
func TestExpiresInTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.know("alice", tokenJSON("alice", time.Now().Add(time.Minute), scoped))
		f.know("nova", tokenJSON("nova", time.Now().Add(time.Hour), `"roles":[{"name":"service"}]`))
		c := f.client(t)
		_, err := c.Validate(t.Context(), bytesOf("alice"), bytesOf("nova"))
		require.NoError(t, err)
		f.know("alice", "")
		time.Sleep(time.Minute)
		_, err = c.Validate(t.Context(), bytesOf("alice"), bytesOf("nova"))
		requireFailure(t, TokenRefused, err)
		f.server.Close()
	})
}

func TestRefusalsAreNotCached(t *testing.T) {
	f := newFake(t)
	c := f.client(t)
	_, err := c.Validate(t.Context(), bytesOf("alice"), nil)
	requireFailure(t, TokenRefused, err)
	f.know("alice", tokenJSON("alice", time.Now().Add(time.Hour), scoped))
	_, err = c.Validate(t.Context(), bytesOf("alice"), nil)
	require.NoError(t, err)
}

func TestCacheIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(time.Minute)
		token := &Token{ExpiresAt: time.Now().Add(time.Hour)}
		name := func(i int) digest { return c.digest(strings.Repeat("a", i%100) + time.Duration(i).String()) }
		for i := range maxCached + 100 {
			c.store(name(i), token, time.Now())
		}
		require.Len(t, c.entries, maxCached)
		require.NotNil(t, c.lookup(name(maxCached+99), false))
		time.Sleep(time.Minute)
		c.store(name(0), token, time.Now())
		require.LessOrEqual(t, len(c.entries), maxCached)
		c.store(c.digest("one more"), token, time.Now())
		require.LessOrEqual(t, len(c.entries), 2, "what no longer holds goes first")
	})
}

func TestDigestsAreKeyed(t *testing.T) {
	a, b := newCache(0), newCache(0)
	require.NotEqual(t, a.digest("x"), b.digest("x"))
	require.Equal(t, a.digest("x"), a.digest("x"))
	require.NotEqual(t, a.digest("x"), a.digest("x="))
}

// TestManyAtOnce is for the race detector.
func TestManyAtOnce(t *testing.T) {
	f := newFake(t)
	subjects := []string{"alice", "bob", "carol", "nobody"}
	for _, s := range subjects[:3] {
		f.know(s, tokenJSON(s, time.Now().Add(time.Hour), scoped))
	}
	c := f.client(t)
	var wait sync.WaitGroup
	for i := range 100 {
		wait.Go(func() {
			subject := subjects[i%4]
			token, err := c.Validate(t.Context(), bytesOf(subject), nil)
			if subject == "nobody" {
				requireFailure(t, TokenRefused, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, subject, token.User.Name)
		})
	}
	wait.Wait()
	logins, _ := f.counts()
	require.Equal(t, 1, logins)
}
