package tests

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/keystone/keystonetest"
)

// stories are what callers do in more than one step. They are part of TestIntegrated, since a Keystone takes its time.
func (r *realm) stories(t *testing.T) {
	t.Run("a volume is transferred", r.transfer)
	t.Run("services", r.services)
	t.Run("one-shots", r.oneShots)
	t.Run("check", r.check)
	t.Run("a server that asks for a user name besides", r.userName)
	t.Run("a server with an application credential", r.serverApplication)
	t.Run("a server whose own token runs out", r.serverToken)
	t.Run("Keystone is slow for the helper", r.slowLogin)
	t.Run("a revoked token is noticed when the cache says so", r.revocation)
	t.Run("what it costs", r.cost)
	t.Run("a session gets another token for its own identities", r.renewal)
}

// transfer is cinder's: alice's key becomes the service's, and then bob's (cinder/keymgr/transfer.py). Nothing stays behind.
func (r *realm) transfer(t *testing.T) {
	before := r.mock.count(t)
	session := r.helper.session(t)
	ask := func(context args) asker {
		return func(t *testing.T, op string, a args) response {
			session.helper.context = context
			return session.ask(t, op, a)
		}
	}
	alice, service, bob := ask(r.context(t, r.alice)), ask(r.password(r.cinder)), ask(r.context(t, r.bob))
	id := keyID(t, alice(t, "create_key", args{"algorithm": "AES", "length": 256, "name": "volume"}))
	want := get(t, alice, id)
	for _, hop := range [][2]asker{{alice, service}, {service, bob}} {
		key := get(t, hop[0], id)
		require.Equal(t, want.Value, key.Value)
		moved := keyID(t, hop[1](t, "store_key", args{"object": key}))
		remove(t, hop[0], id)
		for _, nobody := range []asker{alice, hop[0]} {
			requireKind(t, nobody(t, "get_key", args{"key_id": moved}), "not_found")
			requireKind(t, nobody(t, "delete_key", args{"key_id": moved}), "not_found")
		}
		id = moved
	}
	remove(t, bob, id)
	require.Equal(t, before, r.mock.count(t))
	require.Equal(t, 1, session.end(t))
}

func (r *realm) oneShots(t *testing.T) {
	for _, context := range []args{r.context(t, r.alice), r.password(r.alice)} {
		h := r.helper.under(context)
		createStory(t, h.ask, 256, "active")
	}
	failure := r.helper.ask(t, "list_keys", args{}).Error
	require.Equal(t, "forbidden", failure.Kind)
	require.Contains(t, failure.Message, "tokenless")
	createStory(t, r.asked.ask, 256, "active")
}

// checked is check's result.
type checked struct {
	Result struct {
		OK    bool `json:"ok"`
		Steps []struct {
			Step, Detail, Advice string
			OK                   bool
		} `json:"steps"`
	} `json:"result"`
}

func (r *realm) check(t *testing.T) {
	token := r.ks.Token(t, r.alice)
	for name, test := range map[string]struct {
		helper helper
		good   bool
		says   string
	}{
		"a token":              {r.helper.under(about(r.alice, token)), true, r.alice.ProjectID},
		"no token":             {r.helper, false, "tokenless"},
		"a bad token":          {r.helper.under(bare("garbage")), false, "AuthenticationNotSuccessful"},
		"tokenless = service":  {r.asked, true, r.cinder.ProjectID},
		"an observer":          {r.helper.under(r.context(t, r.member(t, "observer"))), false, "create keys"},
		"a standalone server":  {helper{configs: []string{startMock(t).config}}.with(t, "mode = integrated").under(bare(token)), false, "mode"},
		"KeystonePassword":     {r.helper.under(r.password(r.alice)), true, r.alice.ID},
		"KeystonePassword bad": {r.helper.under(r.password(keystonetest.User{Name: "x", Password: "wrong", ProjectName: "x"})), false, "keystone_password"},
	} {
		o := test.helper.run(t, test.helper.request(t, "check", args{"round_trip": true}))
		var c checked
		require.NoError(t, json.Unmarshal([]byte(o.stdout), &c), "%s", o.stdout)
		require.Equal(t, test.good, c.Result.OK, "%s: %s", name, o.stdout)
		require.Contains(t, o.stdout, test.says, name)
		require.NotContains(t, o.stdout, token, name)
	}
	o := r.asked.run(t, "", "check", "--round-trip")
	require.Zero(t, o.status, "%s", o.stdout)
	require.Contains(t, o.stdout, "ok    credential: ")
	require.Contains(t, o.stdout, ": user \"")
	o = r.helper.run(t, "", "check")
	require.Equal(t, 2, o.status)
	require.Contains(t, o.stdout, "ok    kmip: ", "the network has been looked at")
	require.Contains(t, o.stdout, "FAIL  credential: ")
	require.Contains(t, o.stdout, "tokenless")
	r.checkTheService(t)
}

// checkTheService has the service's own identity be no good: no token is asked for that the service has none of.
func (r *realm) checkTheService(t *testing.T) {
	wrong := r.cinder
	wrong.Password = "wrong"
	for says, lines := range map[string][]string{
		"Keystone does not take the identity in [kmip_service_user]": nil,
		"Keystone must answer at auth_url":                           {"auth_url = http://127.0.0.1:1", "http_request_max_retries = 0"},
	} {
		h := r.serviceHelper(t, wrong, lines...)
		o := h.run(t, "", "check")
		require.Equal(t, 2, o.status)
		require.Contains(t, o.stdout, "FAIL  credential: ")
		require.Contains(t, o.stdout, says)
		require.NotContains(t, o.stdout, "tokenless = service in", "it is set")
		require.NotContains(t, o.stdout, "standalone")
	}
	token := r.ks.Token(t, r.alice)
	r.ks.Revoke(t, token)
	h := r.helper.under(bare(token))
	o := h.run(t, h.request(t, "check", nil))
	require.Contains(t, o.stdout, "AuthenticationNotSuccessful")
	require.Contains(t, o.stdout, "may have expired or been revoked")
	require.NotContains(t, o.stdout, "must be standalone")
	require.NotContains(t, h.ask(t, "list_keys", args{}).Error.Message, "standalone")
}

// userName is refused where it is not the server's, whoever the token is from.
func (r *realm) userName(t *testing.T) {
	s := startMock(t, "--keystone", r.identity(t, "keystone_authtoken", r.kms), "--user", "fred:p")
	alice := helper{configs: []string{s.config}}.under(r.context(t, r.alice))
	createStory(t, alice.with(t, "username = fred", "password = p").ask, 256, "active")
	for says, h := range map[string]helper{
		"wrong user name":       alice.with(t, "username = fred", "password = q"),
		"Username and Password": alice.with(t, "username = ", "password = "),
	} {
		failure := h.ask(t, "list_keys", args{}).Error
		require.NotNil(t, failure, says)
		require.Equal(t, "forbidden", failure.Kind)
		require.Contains(t, failure.Message, says)
	}
}

// serverApplication: that the server's identity expired says nothing about the caller.
func (r *realm) serverApplication(t *testing.T) {
	alice := func(a keystonetest.Application) helper {
		s := startMock(t, "--keystone", r.application(t, "keystone_authtoken", a))
		return helper{configs: []string{s.config}}.under(r.context(t, r.alice))
	}
	createStory(t, alice(r.ks.NewApplication(t, r.kms, keystonetest.Fields{})).ask, 256, "active")
	requireKind(t, alice(r.ks.NewExpiredApplication(t, r.kms)).ask(t, "list_keys", args{}), "unavailable")
}

// serverToken is renewed before callers are kept out for it.
func (r *realm) serverToken(t *testing.T) {
	alice, another := r.context(t, r.alice), r.context(t, r.alice)
	s := startMock(t, "--keystone", r.identity(t, "keystone_authtoken", r.kms))
	session := helper{configs: []string{s.config}}.session(t)
	r.ks.Override(t, "token/expiration", "2")
	session.helper.context = alice
	require.Nil(t, session.ask(t, "list_keys", args{}).Error)
	time.Sleep(2100 * time.Millisecond)
	session.helper.context = another // which the server must ask about
	require.Nil(t, session.ask(t, "list_keys", args{}).Error)
}

// slowLogin is that of a caller without a token: refused for now, and served when Keystone is well again.
func (r *realm) slowLogin(t *testing.T) {
	session := r.serviceHelper(t, r.cinder, "http_connect_timeout = 1").session(t)
	for _, context := range []args{nil, r.password(r.cinder)} {
		session.helper.context = context
		r.ks.Pause(t)
		failure := session.ask(t, "list_keys", args{}).Error
		r.ks.Resume(t)
		require.NotNil(t, failure)
		require.Equal(t, "unavailable", failure.Kind)
		require.True(t, failure.Retryable)
		untilServed(t, session.ask)
	}
}

// untilServed asks again and again: the second that Keystone is given may be too short on a busy machine.
func untilServed(t *testing.T, ask asker) {
	t.Helper()
	for limit := time.Now().Add(patience); ; {
		failure := ask(t, "list_keys", args{}).Error
		if failure == nil {
			return
		}
		require.True(t, time.Now().Before(limit), "%+v", failure)
	}
}

func (r *realm) revocation(t *testing.T) {
	s := startMock(t, "--keystone", r.identity(t, "keystone_authtoken", r.kms, "token_cache_time = 2"))
	token := r.ks.Token(t, r.alice)
	session := helper{configs: []string{s.config}}.under(bare(token)).session(t)
	asked := time.Now()
	require.Nil(t, session.ask(t, "list_keys", args{}).Error)
	r.ks.Revoke(t, token)
	if a := session.ask(t, "list_keys", args{}); time.Since(asked) < 2*time.Second {
		require.Nil(t, a.Error, "not asked again yet")
	}
	time.Sleep(time.Until(asked.Add(2*time.Second + 500*time.Millisecond)))
	requireKind(t, session.ask(t, "list_keys", args{}), "forbidden")
}

// renewal kills the tokens that a session has got: each of its identities fails once, and may be tried again.
func (r *realm) renewal(t *testing.T) {
	s := startMock(t, "--keystone", r.identity(t, "keystone_authtoken", r.kms, "token_cache_time = 0"))
	user := r.ks.NewUser(t, "service")
	h := helper{configs: []string{s.config, r.identity(t, "kmip_service_user", user)}}.with(t, "tokenless = service")
	session := h.session(t)
	contexts := []args{nil, r.password(user)}
	for range 2 {
		for _, context := range contexts {
			session.helper.context = context
			require.Nil(t, session.ask(t, "list_keys", args{}).Error)
		}
	}
	r.ks.Change(t, "user", user.ID, keystonetest.Fields{"password": "another"})
	r.ks.Change(t, "user", user.ID, keystonetest.Fields{"password": user.Password})
	time.Sleep(1100 * time.Millisecond) // Keystone revokes to the second
	for _, context := range contexts {
		session.helper.context = context
		failure := session.ask(t, "list_keys", args{}).Error
		require.NotNil(t, failure)
		require.Equal(t, "forbidden", failure.Kind)
		require.True(t, failure.Retryable)
		require.Nil(t, session.ask(t, "list_keys", args{}).Error, "the next one gets another token")
	}
	require.False(t, strings.Contains(session.stderr.String(), user.Password))
}

// cost compares a get in session mode whose validation the server has cached with one in standalone mode. The
// callers' contexts are the same.
func (r *realm) cost(t *testing.T) {
	context := r.context(t, r.alice)
	alone := startMock(t)
	var sessions [2]*session
	var lines [2]string
	for i, config := range []string{alone.config, r.mock.config} {
		s := helper{configs: []string{config}}.under(context).session(t)
		id := keyID(t, s.ask(t, "create_key", args{"algorithm": "AES", "length": 256, "name": "volume"}))
		sessions[i], lines[i] = s, s.helper.request(t, "get_key", args{"key_id": id})
	}
	var took [2][]time.Duration
	for range 40 { // in turns, so that a busy machine is busy for both
		for i, s := range sessions {
			for range 50 {
				start := time.Now()
				_, err := io.WriteString(s.in, lines[i])
				require.NoError(t, err)
				answer, err := s.out.ReadString('\n')
				took[i] = append(took[i], time.Since(start))
				require.NoError(t, err)
				require.Contains(t, answer, `"result"`)
			}
		}
	}
	var median [2]time.Duration
	for i := range took {
		slices.Sort(took[i])
		median[i] = took[i][len(took[i])/2]
	}
	ratio := float64(median[1]) / float64(median[0])
	t.Logf("a get in a session: standalone %v, integrated with a cached validation %v, ratio %.2f", median[0], median[1], ratio)
	require.Less(t, ratio, 2.0, "1.3 is what a quiet machine shows")
}
