package tests

import (
	"crypto/tls"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFailover has the preferred host unable to serve: another does, and says so. What somebody has to mend is told beside it.
func TestFailover(t *testing.T) {
	s, foreign := startMock(t), newPKI(t)
	wrong := says(nil).serve(t, foreign.tlsConfig(t, foreign.server(t, ecKey(t), nil)))
	stranger := says(nil).serve(t, s.tlsConfig(t, foreign))
	for name, row := range map[string]struct {
		host string
		told string
	}{
		"a black hole":           {blackHole(t, nil), ""},
		"nobody listens":         {"127.0.0.1:" + nobodysPort, ""},
		"a bad certificate":      {wrong, "kmip-keymgr-helper: " + wrong + " was passed over: "},
		"refuses us, in TLS 1.3": {stranger, "kmip-keymgr-helper: " + stranger + " was passed over: "},
		"a name without a host":  {"kms.invalid:5696", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := helper{configs: []string{s.config}}.with(t, "host = "+row.host+", "+s.address, "connect_timeout = 1")
			o := h.run(t, h.request(t, "create_key", args{"algorithm": "AES", "length": 256}))
			require.Equal(t, 0, o.status)
			require.Equal(t, s.address, parse(t, o.stdout).Server)
			require.Equal(t, row.told != "", o.stderr != "")
			require.True(t, strings.HasPrefix(o.stderr, row.told), "%s", o.stderr)

			session := h.session(t)
			for range 3 {
				require.Equal(t, s.address, session.ask(t, "list_keys", args{}).Server)
			}
			require.Equal(t, 0, session.end(t))
			require.Equal(t, row.told != "", strings.Count(session.stderr.String(), "\n") == 1, "%s", session.stderr)

			o = h.run(t, "", "check")
			require.Equal(t, 0, o.status, "it works anyway")
			require.Contains(t, o.stdout, s.address)
			require.Contains(t, o.stdout, "passed over: "+row.host+": ")
		})
	}
	h := helper{configs: []string{s.config}}
	require.Empty(t, h.ask(t, "list_keys", args{}).Server, "there is but one")
}

// TestFailoverFromAReadOnlyNode has the preferred host take no changes: they go to the next, and reading does not.
func TestFailoverFromAReadOnlyNode(t *testing.T) {
	for _, reason := range []string{"PermissionDenied", "OperationNotSupported"} {
		t.Run(reason, func(t *testing.T) {
			node, faults := startMock(t), []string{}
			for _, operation := range []string{"Create", "Destroy", "Revoke"} {
				faults = append(faults, "--fault", operation+":reason="+reason+":100")
			}
			clone := startMock(t, append(faults, "--pki", filepath.Dir(node.config))...)
			h := helper{configs: []string{node.config}}.with(t, "host = "+clone.address+", "+node.address)
			r := h.ask(t, "create_key", args{"algorithm": "AES", "length": 256})
			id := keyID(t, r)
			require.Equal(t, node.address, r.Server)
			require.Equal(t, clone.address, h.ask(t, "list_keys", args{}).Server)
			require.Equal(t, 1, node.count(t))
			r = h.ask(t, "delete_key", args{"key_id": id, "force": true})
			require.Nil(t, r.Error)
			require.Equal(t, node.address, r.Server)
			require.Zero(t, node.count(t))
		})
	}
}

// tlsConfig is that of a server with the mock's certificate, which knows the clients of another authority.
func (s *server) tlsConfig(t *testing.T, clients *pki) *tls.Config {
	t.Helper()
	dir := filepath.Dir(s.config)
	config := clients.tlsConfig(t, clients.server(t, ecKey(t), nil))
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.pem"), filepath.Join(dir, "server-key.pem"))
	require.NoError(t, err)
	config.Certificates = []tls.Certificate{cert}
	return config
}

// TestLeftBehind has the first host take a create and never answer, and the second make the key: standard error names what
// the first may hold, or an operator would not know of a key that nobody uses.
func TestLeftBehind(t *testing.T) {
	for name, fault := range map[string]string{"hangs": "*:delay=1m:1000", "hangs up": "*:drop-response:1000"} {
		t.Run(name, func(t *testing.T) {
			second := startMock(t)
			first := startMock(t, "--pki", filepath.Dir(second.config), "--fault", fault)
			h := helper{configs: []string{second.config}}.with(t, "host = "+first.address+", "+second.address,
				"timeout = 8", "max_retries = 1", "retry_interval = 0.01", "kmip_version = 1.4")
			o := h.run(t, h.request(t, "create_key", args{"algorithm": "AES", "length": 256}))
			require.Zero(t, o.status, "%s", o.stdout)
			require.Equal(t, second.address, parse(t, o.stdout).Server)
			line := regexp.MustCompile("^kmip-keymgr-helper: " + first.address + " did not answer .* the Name ([0-9a-f-]{36}), .*\n$")
			told := line.FindStringSubmatch(o.stderr)
			require.NotNil(t, told, "%s", o.stderr)
			held := readInventory(t, filepath.Join(filepath.Dir(first.config), "inventory.json"))
			require.Len(t, held, 1)
			require.Contains(t, held[0].Names, told[1])
		})
	}
}
