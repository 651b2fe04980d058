package keystone

import (
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/internal/secret"
	"kmip-keymgr/keystone/keystonetest"
)

// realKeystone is Debian's, one for all tests.
func realKeystone(t *testing.T) *keystonetest.Server {
	t.Helper()
	keystonetest.Require(t)
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "keystone-test-"); shared.err == nil {
			shared.server, shared.err = keystonetest.Run(shared.dir)
		}
	})
	require.NoError(t, shared.err)
	return shared.server
}

// identityOf is the configuration of a user who logs in with a password.
func identityOf(s *keystonetest.Server, u keystonetest.User) *Config {
	return &Config{
		AuthURL: s.URL, Username: u.Name, UserDomainID: "default", Password: secret.Bytes(u.Password), ProjectID: u.ProjectID,
		Timeout: 20 * time.Second, Retries: 3, ServiceRoles: []string{"service"},
	}
}

func connect(t *testing.T, config *Config) *Client {
	t.Helper()
	c, err := New(config)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// world is what the rows share, since each request to Keystone takes a while.
type world struct {
	*keystonetest.Server
	c                    *Client
	alice, nova          keystonetest.User
	fresh, old           string // tokens of alice's
	service, oldService  string // tokens of nova's, who has the role service
	administrator, other string
}

func newWorld(t *testing.T) *world {
	s := realKeystone(t)
	w := &world{Server: s, alice: s.NewUser(t, "member")}
	w.nova = w.another(t, "service")
	config := identityOf(s, w.nova)
	config.CacheTime = time.Minute
	w.c = connect(t, config)
	w.fresh, w.service, w.other = s.Token(t, w.alice), s.Token(t, w.nova), s.Token(t, w.another(t, "member"))
	w.administrator = s.Token(t, w.another(t, "admin"))
	w.old, w.oldService = w.expired(t, w.alice), w.expired(t, w.nova)
	return w
}

// another is a user in alice's project.
func (w *world) another(t *testing.T, roles ...string) keystonetest.User {
	return w.NewUserIn(t, w.alice.ProjectID, w.alice.ProjectName, roles...)
}

// expired is a token that was never fresh.
func (w *world) expired(t *testing.T, u keystonetest.User) (token string) {
	t.Run("issue", func(t *testing.T) { // for the override to end with it
		w.Override(t, "token/expiration", "0")
		token = w.Token(t, u)
	})
	return token
}

// row is a subject's token, a service's where there is one, and whether they are accepted.
type row func(t *testing.T, w *world) (subject, service string, accepted bool)

// spelled is a text made from a good token.
func spelled(accepted bool, spell func(string) string) row {
	return func(_ *testing.T, w *world) (string, string, bool) { return spell(w.fresh), "", accepted }
}

// after is a fresh token after something was done to its user.
func after(accepted bool, do func(t *testing.T, w *world, u keystonetest.User, token string)) row {
	return func(t *testing.T, w *world) (string, string, bool) {
		u := w.NewUser(t, "member")
		token := w.Token(t, u)
		do(t, w, u, token)
		return token, "", accepted
	}
}

// both are tokens that go together.
func both(accepted bool, pick func(t *testing.T, w *world) (subject, service string)) row {
	return func(t *testing.T, w *world) (string, string, bool) {
		subject, service := pick(t, w)
		return subject, service, accepted
	}
}

func (w *world) revoked(t *testing.T, token string) string {
	w.Revoke(t, token)
	return token
}

// via is the token of an application credential.
func via(accepted bool, fields keystonetest.Fields, do func(*testing.T, *world, keystonetest.User, keystonetest.Application) (service string)) row {
	return func(t *testing.T, w *world) (subject, service string, _ bool) {
		u := w.another(t, "member", "service")
		a := w.NewApplication(t, u, fields)
		subject = w.ApplicationToken(t, a)
		if do != nil {
			service = do(t, w, u, a)
		}
		return subject, service, accepted
	}
}

func rules() keystonetest.Fields {
	return keystonetest.Fields{"access_rules": []keystonetest.Fields{{"path": "/v2.1/servers", "method": "POST", "service": "compute"}}}
}

func inScope(where string, scope keystonetest.Fields) row {
	return func(t *testing.T, w *world) (string, string, bool) {
		u := w.another(t)
		if where != "" {
			w.Call(t, http.MethodPut, where+"/users/"+u.ID+"/roles/"+w.Role(t, "member"), nil, nil)
		}
		return w.ScopedToken(t, u, scope), "", true
	}
}

func TestRealSubjects(t *testing.T) {
	w := newWorld(t)
	type user = keystonetest.User
	for name, row := range map[string]row{
		"valid":                 spelled(true, func(k string) string { return k }),
		"with = appended":       spelled(true, func(k string) string { return k + "=" }),
		"with == appended":      spelled(true, func(k string) string { return k + "==" }),
		"with a space appended": spelled(true, func(k string) string { return k + " " }),
		"with a space before":   spelled(true, func(k string) string { return " " + k }),
		"garbage":               spelled(false, func(string) string { return "garbage" }),
		"truncated":             spelled(false, func(k string) string { return k[:len(k)-20] }),
		"flipped":               spelled(false, func(k string) string { return k[:60] + swapCase(k[60:]) }),
		"empty":                 spelled(false, func(string) string { return "" }),
		"with a line's end":     spelled(false, func(k string) string { return k + "\n" }),
		"8 KiB of garbage":      spelled(false, func(string) string { return strings.Repeat("g", 8<<10) }),
		"16 KiB of garbage":     spelled(false, func(string) string { return strings.Repeat("g", 16<<10) }),
		"more than 16 KiB":      spelled(false, func(string) string { return strings.Repeat("g", 16<<10+1) }),

		"revoked":                    after(false, func(t *testing.T, w *world, _ user, k string) { w.Revoke(t, k) }),
		"user disabled":              after(false, func(t *testing.T, w *world, u user, _ string) { enable(t, w, "user", u.ID, false) }),
		"user deleted":               after(false, func(t *testing.T, w *world, u user, _ string) { w.Delete(t, "user", u.ID) }),
		"project disabled":           after(false, func(t *testing.T, w *world, u user, _ string) { enable(t, w, "project", u.ProjectID, false) }),
		"project deleted":            after(false, func(t *testing.T, w *world, u user, _ string) { w.Delete(t, "project", u.ProjectID) }),
		"only role removed":          after(false, func(t *testing.T, w *world, u user, _ string) { w.Withdraw(t, u, "member") }),
		"password changed":           after(false, func(t *testing.T, w *world, u user, _ string) { password(t, w, u, "another") }),
		"user disabled for a while":  after(false, func(t *testing.T, w *world, u user, _ string) { offAndOn(t, w, "user", u.ID) }),
		"project disabled for a bit": after(true, func(t *testing.T, w *world, u user, _ string) { offAndOn(t, w, "project", u.ProjectID) }),
		"role added":                 after(true, func(t *testing.T, w *world, u user, _ string) { w.Grant(t, u, "service") }),
		"role added and taken":       after(true, func(t *testing.T, w *world, u user, _ string) { w.Grant(t, u, "service"); w.Withdraw(t, u, "service") }),

		"unscoped":      inScope("", nil),
		"domain scoped": inScope("/domains/default", keystonetest.Fields{"domain": keystonetest.Fields{"id": "default"}}),
		"system scoped": inScope("/system", keystonetest.Fields{"system": keystonetest.Fields{"all": true}}),

		"expired":                        both(false, func(_ *testing.T, w *world) (string, string) { return w.old, "" }),
		"expired with a service":         both(true, func(_ *testing.T, w *world) (string, string) { return w.old, w.service }),
		"expired with a user":            both(false, func(_ *testing.T, w *world) (string, string) { return w.old, w.other }),
		"expired with an administrator":  both(false, func(_ *testing.T, w *world) (string, string) { return w.old, w.administrator }),
		"expired with itself":            both(false, func(_ *testing.T, w *world) (string, string) { return w.old, w.old }),
		"expired with an old service":    both(false, func(_ *testing.T, w *world) (string, string) { return w.old, w.oldService }),
		"expired with a revoked service": both(false, func(t *testing.T, w *world) (string, string) { return w.old, w.revoked(t, w.Token(t, w.nova)) }),
		"expired service with a service": both(true, func(_ *testing.T, w *world) (string, string) { return w.oldService, w.service }),
		"expired and revoked with a service": both(false, func(t *testing.T, w *world) (string, string) {
			w.Override(t, "token/expiration", "2")
			token := w.revoked(t, w.Token(t, w.alice)) // an expired one cannot be revoked
			time.Sleep(2 * time.Second)
			return token, w.service
		}),
		"expired of a disabled user, with a service": both(false, func(t *testing.T, w *world) (string, string) {
			u := w.another(t, "member")
			token := w.expired(t, u)
			enable(t, w, "user", u.ID, false)
			return token, w.service
		}),
		"expired beyond the window, with a service": both(false, func(t *testing.T, w *world) (string, string) {
			w.Override(t, "token/allow_expired_window", "0")
			return w.expired(t, w.another(t, "member")), w.service
		}),
		"fresh with a service":           both(true, func(_ *testing.T, w *world) (string, string) { return w.fresh, w.service }),
		"fresh with a user":              both(true, func(_ *testing.T, w *world) (string, string) { return w.fresh, w.other }),
		"fresh with garbage":             both(false, func(_ *testing.T, w *world) (string, string) { return w.fresh, "garbage" }),
		"fresh with an old service":      both(false, func(_ *testing.T, w *world) (string, string) { return w.fresh, w.oldService }),
		"fresh with a revoked service":   both(false, func(t *testing.T, w *world) (string, string) { return w.fresh, w.revoked(t, w.Token(t, w.nova)) }),
		"garbage with a service":         both(false, func(_ *testing.T, w *world) (string, string) { return "garbage", w.service }),
		"revoked with a service":         both(false, func(t *testing.T, w *world) (string, string) { return w.revoked(t, w.Token(t, w.alice)), w.service }),
		"empty with a service":           both(false, func(_ *testing.T, w *world) (string, string) { return "", w.service }),
		"the service's own as a subject": both(true, func(_ *testing.T, w *world) (string, string) { return w.service, w.service }),

		"application credential": via(true, keystonetest.Fields{}, nil),
		"application credential deleted": via(false, keystonetest.Fields{}, func(t *testing.T, w *world, u user, a keystonetest.Application) string {
			w.Call(t, http.MethodDelete, "/users/"+u.ID+"/application_credentials/"+a.ID, nil, nil)
			return ""
		}),
		"application credential whose user lost a role": via(true, keystonetest.Fields{}, func(t *testing.T, w *world, u user, _ keystonetest.Application) string {
			w.Withdraw(t, u, "service")
			return ""
		}),
		"access rules": via(false, rules(), nil),
		"access rules with a service": via(true, rules(), func(_ *testing.T, w *world, _ user, _ keystonetest.Application) string {
			return w.service
		}),
		"access rules with a user": via(false, rules(), func(_ *testing.T, w *world, _ user, _ keystonetest.Application) string {
			return w.other
		}),
	} {
		t.Run(name, func(t *testing.T) {
			subject, service, accepted := row(t, w)
			_, err := w.c.Validate(t.Context(), bytesOf(subject), bytesOf(service))
			if !accepted {
				requireFailure(t, TokenRefused, err)
				return
			}
			require.NoError(t, err)
			_, err = w.c.Validate(t.Context(), bytesOf(subject), bytesOf(service)) // from the cache
			require.NoError(t, err)
		})
	}
}

func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, s)
}

// changer is a Keystone whose users and projects can be changed.
type changer interface {
	Change(t testing.TB, kind, id string, fields keystonetest.Fields)
}

func enable(t *testing.T, s changer, kind, id string, on bool) {
	s.Change(t, kind, id, keystonetest.Fields{"enabled": on})
}

func offAndOn(t *testing.T, s changer, kind, id string) {
	enable(t, s, kind, id, false)
	enable(t, s, kind, id, true)
}

func password(t *testing.T, s changer, u keystonetest.User, text string) {
	s.Change(t, "user", u.ID, keystonetest.Fields{"password": text})
}

// TestRealAnswers is what a token says, and that it says it as things are now.
func TestRealAnswers(t *testing.T) {
	s := realKeystone(t)
	c := connect(t, identityOf(s, s.NewUser(t, "service")))
	alice := s.NewUser(t, "member")
	token := s.Token(t, alice)
	got, err := c.Validate(t.Context(), bytesOf(token), nil)
	require.NoError(t, err)
	domain := Domain{"default", "Default"}
	require.Equal(t, User{alice.ID, alice.Name, domain}, got.User)
	require.Equal(t, Project{alice.ProjectID, alice.ProjectName, domain}, got.Project)
	require.ElementsMatch(t, []string{"member", "reader"}, got.Roles, "member implies reader")
	require.InDelta(t, time.Hour, got.ExpiresAt.Sub(got.IssuedAt), float64(time.Second))

	s.Grant(t, alice, "service")
	s.Withdraw(t, alice, "member")
	got, err = c.Validate(t.Context(), bytesOf(token), nil)
	require.NoError(t, err)
	require.Equal(t, []string{"service"}, got.Roles)

	got, err = c.Validate(t.Context(), bytesOf(s.Token(t, s.NewUser(t, "member"))), nil)
	require.NoError(t, err)
	require.NotEqual(t, alice.ID, got.User.ID, "somebody else's token is somebody else's")
	require.NotEqual(t, alice.ProjectID, got.Project.ID)
}

// TestRealIdentities: what happens to our own identity is never the subject's fault.
func TestRealIdentities(t *testing.T) {
	s := realKeystone(t)
	alice := s.Token(t, s.NewUser(t, "member"))
	type user = keystonetest.User
	for name, row := range map[string]struct {
		do      func(t *testing.T, u user, own string)
		good    Failure // about a good token, 0 where it is accepted
		garbage Failure // and about garbage
	}{
		"token revoked":     {func(t *testing.T, _ user, own string) { s.Revoke(t, own) }, 0, TokenRefused},
		"user disabled":     {func(t *testing.T, u user, _ string) { enable(t, s, "user", u.ID, false) }, IdentityRefused, IdentityRefused},
		"user deleted":      {func(t *testing.T, u user, _ string) { s.Delete(t, "user", u.ID) }, IdentityRefused, IdentityRefused},
		"project disabled":  {func(t *testing.T, u user, _ string) { enable(t, s, "project", u.ProjectID, false) }, IdentityRefused, IdentityRefused},
		"project deleted":   {func(t *testing.T, u user, _ string) { s.Delete(t, "project", u.ProjectID) }, IdentityRefused, IdentityRefused},
		"password changed":  {func(t *testing.T, u user, _ string) { password(t, s, u, "another") }, IdentityRefused, IdentityRefused},
		"only role removed": {func(t *testing.T, u user, _ string) { s.Withdraw(t, u, "service") }, IdentityRefused, IdentityRefused},
		"another role left": {func(t *testing.T, u user, _ string) { s.Grant(t, u, "reader"); s.Withdraw(t, u, "service") }, IdentityRefused, TokenRefused},
	} {
		t.Run(name, func(t *testing.T) {
			u := s.NewUser(t, "service")
			c := connect(t, identityOf(s, u))
			own, err := c.Authenticate(t.Context())
			require.NoError(t, err)
			row.do(t, u, string(own.Text))
			for subject, want := range map[string]Failure{"garbage": row.garbage, alice: row.good} {
				_, err = c.Validate(t.Context(), bytesOf(subject), nil)
				if want == 0 {
					require.NoError(t, err)
					continue
				}
				requireFailure(t, want, err)
			}
		})
	}
}

func TestRealLogins(t *testing.T) {
	s := realKeystone(t)
	u := s.NewUser(t, "service")
	byID := s.NewApplication(t, u, keystonetest.Fields{})
	gone := s.NewApplication(t, u, keystonetest.Fields{})
	s.Call(t, http.MethodDelete, "/users/"+u.ID+"/application_credentials/"+gone.ID, nil, nil)
	past := s.NewExpiredApplication(t, u)
	application := func(a keystonetest.Application) func(*Config) {
		return func(c *Config) {
			*c = Config{
				AuthURL: s.URL, AuthType: ApplicationCredential, ApplicationCredentialID: a.ID,
				ApplicationCredentialSecret: secret.Bytes(a.Secret),
			}
		}
	}
	for name, row := range map[string]struct {
		change func(*Config)
		want   Failure
	}{
		"password":               {func(*Config) {}, 0},
		"user by id":             {func(c *Config) { c.UserID, c.Username = u.ID, "" }, 0},
		"project by name":        {func(c *Config) { c.ProjectID, c.ProjectName, c.ProjectDomainName = "", u.ProjectName, "Default" }, 0},
		"no scope":               {func(c *Config) { c.ProjectID = "" }, 0},
		"URL without version":    {func(c *Config) { c.AuthURL = strings.TrimSuffix(c.AuthURL, "/v3") }, 0},
		"token":                  {func(c *Config) { c.AuthType, c.Token = TokenAuth, secret.Bytes(s.Token(t, u)) }, 0},
		"application credential": {application(byID), 0},
		"application credential by name": {func(c *Config) {
			application(byID)(c)
			c.ApplicationCredentialID, c.ApplicationCredentialName, c.UserID = "", byID.Name, u.ID
		}, 0},
		"wrong password":                 {func(c *Config) { c.Password = secret.Bytes("wrong") }, IdentityRefused},
		"unknown user":                   {func(c *Config) { c.Username = "nobody" }, IdentityRefused},
		"unknown domain":                 {func(c *Config) { c.UserDomainID = "nowhere" }, IdentityRefused},
		"unknown project":                {func(c *Config) { c.ProjectID = "nothing" }, IdentityRefused},
		"somebody else's project":        {func(c *Config) { c.ProjectID = s.NewUser(t, "member").ProjectID }, IdentityRefused},
		"garbage for a token":            {func(c *Config) { c.AuthType, c.Token = TokenAuth, secret.Bytes("garbage") }, IdentityRefused},
		"another path":                   {func(c *Config) { c.AuthURL = strings.TrimSuffix(c.AuthURL, "v3") + "identity" }, IdentityRefused},
		"deleted application credential": {application(gone), IdentityRefused},
		"expired application credential": {application(past), IdentityRefused},
		"wrong application secret": {func(c *Config) {
			application(byID)(c)
			c.ApplicationCredentialSecret = secret.Bytes("wrong")
		}, IdentityRefused},
	} {
		t.Run(name, func(t *testing.T) {
			config := identityOf(s, u)
			row.change(config)
			own, err := connect(t, config).Authenticate(t.Context())
			if row.want != 0 {
				requireFailure(t, row.want, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, u.ID, own.User.ID)
		})
	}
}

// TestHalfARequest: a client that stops in the middle of one keeps no other from Keystone.
func TestHalfARequest(t *testing.T) {
	s := realKeystone(t)
	config := identityOf(s, s.NewUser(t, "service"))
	half, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(s.URL, "http://"), "/v3"))
	require.NoError(t, err)
	defer half.Close()
	_, err = io.WriteString(half, "POST /v3/auth/tokens HTTP/1.1\r\nHost: keystone\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{")
	require.NoError(t, err)
	for range 10 { // the first may be there before that one
		_, err = connect(t, config).Authenticate(t.Context())
		require.NoError(t, err)
	}
}

// TestRealOutage: slow, down, and back. What was cached goes on, and the answer to anything else blames nobody.
func TestRealOutage(t *testing.T) {
	s := realKeystone(t)
	u := s.NewUser(t, "member", "service")
	alice, bob := s.Token(t, u), s.Token(t, s.NewUserIn(t, u.ProjectID, u.ProjectName, "member"))
	config := identityOf(s, u)
	config.Timeout, config.CacheTime = time.Second, time.Hour
	c := connect(t, config)
	accepts := func(token string) func() bool { // in time, which on a busy machine takes more than one attempt
		return func() bool {
			_, err := c.Validate(t.Context(), bytesOf(token), nil)
			return err == nil
		}
	}
	require.Eventually(t, accepts(alice), 20*time.Second, 50*time.Millisecond)
	for name, outage := range map[string][2]func(){
		"slow": {func() { s.Pause(t) }, func() { s.Resume(t) }},
		"down": {func() { s.Stop() }, func() { s.Restart(t) }},
	} {
		outage[0]()
		_, err := c.Validate(t.Context(), bytesOf(bob), nil)
		requireFailure(t, Unavailable, err)
		_, err = c.Validate(t.Context(), bytesOf("garbage"), nil)
		requireFailure(t, Unavailable, err)
		_, err = c.Validate(t.Context(), bytesOf(alice), nil)
		require.NoError(t, err, name)
		outage[1]()
		require.Eventually(t, func() bool {
			_, err = c.Validate(t.Context(), bytesOf("garbage"), nil)
			return err != nil && strings.Contains(err.Error(), TokenRefused.Error())
		}, 20*time.Second, 50*time.Millisecond, name)
	}
	require.Eventually(t, accepts(bob), 20*time.Second, 50*time.Millisecond)
}

// BenchmarkCached is a validation that the cache answers.
func BenchmarkCached(b *testing.B) {
	c := newCache(time.Minute)
	token := bytesOf(strings.Repeat("a", 200))
	client := &Client{config: *basicConfig(), cache: c}
	c.store(c.digest(string(token)), &Token{ExpiresAt: time.Now().Add(time.Hour)}, time.Now())
	for b.Loop() {
		if _, err := client.Validate(b.Context(), token, nil); err != nil {
			b.Fatal(err)
		}
	}
}
