package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	novaconf "kmip-keymgr/nova_conf"
	"kmip-keymgr/protocol"
)

// newKeystone gives a token to every identity but one with the password "wrong", and counts.
func newKeystone(t *testing.T) (url string, logins *[]string) {
	logins = new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*logins = append(*logins, string(body))
		if strings.Contains(string(body), "wrong") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("X-Subject-Token", fmt.Sprintf("token-%d", len(*logins)))
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{"token": map[string]any{
			"user": map[string]any{"id": "u", "name": "un", "domain": map[string]any{"id": "ud"}}, "project": map[string]any{"id": "p"},
			"roles": []map[string]any{{"name": "service"}}, "issued_at": time.Now(), "expires_at": time.Now().Add(time.Hour),
		}})
	}))
	t.Cleanup(server.Close)
	return server.URL, logins
}

// open reads identities out of a file with those lines.
func open(t *testing.T, service bool, lines ...string) (*identities, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nova.conf")
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	files, err := novaconf.Load([]novaconf.Source{{Path: path}}, nil)
	require.NoError(t, err)
	i, err := newIdentities(files, service)
	if err == nil {
		t.Cleanup(i.close)
	}
	return i, err
}

func kindOf(t *testing.T, err error) protocol.Kind {
	t.Helper()
	var e *protocol.Error
	require.ErrorAs(t, err, &e)
	return e.Kind
}

func TestServiceIdentity(t *testing.T) {
	url, logins := newKeystone(t)
	i, err := open(t, true, "[kmip_service_user]", "auth_url = "+url, "user_id = svc", "password = p", "project_id = p")
	require.NoError(t, err)
	require.Empty(t, *logins, "nothing is sent before it is needed")
	for range 3 {
		who, err := i.Authenticate(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, []string{"token-1", "u", "un", "ud", "p"}, []string{string(who.AuthToken), who.UserID, who.UserName, who.UserDomainID, who.ProjectID})
		require.Equal(t, []string{"service"}, who.Roles)
	}
	i.Forget(nil)
	who, err := i.Authenticate(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, "token-2", string(who.AuthToken))
}

func TestServiceIdentityRefused(t *testing.T) {
	i, err := open(t, false)
	require.NoError(t, err)
	_, err = i.Authenticate(t.Context(), nil)
	require.Equal(t, protocol.Forbidden, kindOf(t, err))
	require.ErrorContains(t, err, "tokenless")

	_, err = open(t, true, "[kmip_service_user]", "user_id = svc", "password = p")
	require.ErrorContains(t, err, "nova.conf: [kmip_service_user] auth_url: missing")
	_, err = open(t, true, "[kmip_service_user]", "auth_url = http://k", "auth_type = magic")
	require.ErrorContains(t, err, "nova.conf:3: [kmip_service_user] auth_type: must be password")

	url, _ := newKeystone(t)
	i, err = open(t, true, "[kmip_service_user]", "auth_url = "+url, "user_id = svc", "password = wrong")
	require.NoError(t, err)
	_, err = i.Authenticate(t.Context(), nil)
	require.Equal(t, protocol.Config, kindOf(t, err))
	require.ErrorContains(t, err, "[kmip_service_user]")

	i, err = open(t, true, "[kmip_service_user]", "auth_url = http://127.0.0.1:1", "user_id = svc", "password = p", "http_request_max_retries = 0")
	require.NoError(t, err)
	_, err = i.Authenticate(t.Context(), nil)
	require.Equal(t, protocol.Unavailable, kindOf(t, err))
}

func TestCastellanLogins(t *testing.T) {
	url, logins := newKeystone(t)
	i, err := open(t, false, "[keystone_authtoken]", "auth_url = "+url, "username = not-this-one", "cafile =")
	require.NoError(t, err)
	login := func(name string) string {
		who, err := i.Authenticate(t.Context(), map[string]string{"type": "keystone_password", "user_id": name, "password": "p"})
		require.NoError(t, err)
		return string(who.AuthToken)
	}
	require.Equal(t, "token-1", login("a"))
	require.Equal(t, "token-2", login("b"))
	require.Equal(t, "token-1", login("a"), "kept for the session")
	require.NotContains(t, strings.Join(*logins, ""), "not-this-one")
	i.Forget(map[string]string{"type": "keystone_password", "user_id": "a", "password": "p"})
	require.Equal(t, "token-3", login("a"))
	for n := range 3 * maxLogins {
		login(fmt.Sprint("user", n))
		require.LessOrEqual(t, len(i.logins), maxLogins)
	}

	scoped := map[string]string{"type": "keystone_token", "token": "theirs", "project_id": "p", "auth_url": url}
	_, err = i.Authenticate(t.Context(), scoped)
	require.NoError(t, err)
	last := (*logins)[len(*logins)-1]
	require.JSONEq(t, `{"auth":{"identity":{"methods":["token"],"token":{"id":"theirs"}},"scope":{"project":{"id":"p"}}}}`, last)

	for name, test := range map[string]struct {
		credential map[string]string
		kind       protocol.Kind
	}{
		"wrong":        {map[string]string{"type": "keystone_password", "user_id": "a", "password": "wrong"}, protocol.Forbidden},
		"no password":  {map[string]string{"type": "keystone_password", "user_id": "a"}, protocol.InvalidRequest},
		"no domain":    {map[string]string{"type": "keystone_password", "username": "a", "password": "p"}, protocol.InvalidRequest},
		"caller's URL": {map[string]string{"type": "keystone_password", "user_id": "a", "password": "p", "auth_url": "ftp://x"}, protocol.InvalidRequest},
		"nobody there": {map[string]string{"type": "keystone_password", "user_id": "a", "password": "p", "auth_url": "http://127.0.0.1:1"}, protocol.Unavailable},
	} {
		_, err := i.Authenticate(t.Context(), test.credential)
		require.Equal(t, test.kind, kindOf(t, err), name)
	}
}

func TestTheWayToKeystone(t *testing.T) {
	credential := map[string]string{"type": "keystone_password", "user_id": "a", "password": "p", "cafile": "/dev/null", "insecure": "no"}
	i, err := open(t, false, "[keystone_authtoken]", "auth_url = https://localhost:1", "insecure = true", "cafile = /none",
		"[kmip_service_user]", "http_request_max_retries = 0")
	require.NoError(t, err)
	_, err = i.Authenticate(t.Context(), credential)
	require.Equal(t, protocol.Config, kindOf(t, err))
	require.ErrorContains(t, err, "/none")
	require.ErrorContains(t, err, "nova.conf:4: [keystone_authtoken] cafile: ")
}

// TestOperatorsAddress: where the credential leaves auth_url out, what is wrong with it is not the caller's fault.
func TestOperatorsAddress(t *testing.T) {
	for _, lines := range [][]string{{"[keystone_authtoken]", "auth_url = ftp://k"}, {"[keystone_authtoken]"}} {
		i, err := open(t, false, lines...)
		require.NoError(t, err)
		_, err = i.Authenticate(t.Context(), map[string]string{"type": "keystone_password", "user_id": "a", "password": "p"})
		require.Equal(t, protocol.Config, kindOf(t, err))
		require.ErrorContains(t, err, "[keystone_authtoken] auth_url: m")
	}
}

// TestWayToKeystoneOfTheService: how Keystone is reached is up to [kmip_service_user] first, even where it leaves an option
// empty, then to [keystone_authtoken], and never to the caller.
func TestWayToKeystoneOfTheService(t *testing.T) {
	url, _ := newKeystone(t)
	for option, wrong := range map[string]string{
		"cafile": "/none", "certfile": "/none", "keyfile": "/none", "http_connect_timeout": "soon", "timeout": "soon",
		"http_request_max_retries": "many",
	} {
		login := func(service, other string) error {
			i, err := open(t, false, "[keystone_authtoken]", "auth_url = http://127.0.0.1:1", other,
				"[kmip_service_user]", "auth_url = "+url, service)
			require.NoError(t, err)
			_, err = i.Authenticate(t.Context(), map[string]string{"type": "keystone_password", "user_id": "a", "password": "p", option: wrong})
			return err
		}
		require.NoError(t, login("", ""), option)
		require.NoError(t, login(option+" =", option+" = "+wrong), option)
		for name, err := range map[string]error{
			"kmip_service_user": login(option+" = "+wrong, option+" ="), "keystone_authtoken": login("", option+" = "+wrong),
		} {
			require.Equal(t, protocol.Config, kindOf(t, err))
			require.ErrorContains(t, err, "["+name+"] "+option+": ")
		}
	}
	_, err := open(t, true, "[kmip_service_user]", "auth_url = "+url, "user_id = svc", "password = p", "insecure = true")
	require.ErrorContains(t, err, "nova.conf:5: [kmip_service_user] insecure: is not supported")
}

// TestDigests: credentials that could be written alike are not alike, or one caller would act with another's token.
func TestDigests(t *testing.T) {
	a := digestOf(map[string]string{"type": "token", "token": `x" "user":"y`})
	require.NotEqual(t, a, digestOf(map[string]string{"type": "token", "token": "x", "user": "y"}))
	require.Equal(t, a, digestOf(map[string]string{"token": `x" "user":"y`, "type": "token"}))
	a = digestOf(map[string]string{"password": "p", "user_id": "a username:b"})
	require.NotEqual(t, a, digestOf(map[string]string{"password": "p", "user_id": "a", "username": "b"}))
}
