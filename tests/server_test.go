package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// server is a running key manager and what a client must know of it.
type server struct {
	*process
	address  string
	config   string                 // a nova.conf that works
	other    pair                   // another client, whom the server also knows
	versions []string               // of KMIP, as kmip_version spells them
	count    func(t *testing.T) int // objects that exist, from the server's own records
}

// servers are the key managers that every whole-stack test runs against, each with the TLS suites it may be met with.
var servers = []struct {
	name  string
	start func(t *testing.T) *server
}{
	{"mock", func(t *testing.T) *server { return startMock(t) }},
	{"PyKMIP, ECDSA and Go's suites", func(t *testing.T) *server { return startPyKMIP(t, ecKey(t)) }},
	{"PyKMIP, RSA and a suite of TLS 1.2's youth", func(t *testing.T) *server {
		s := startPyKMIP(t, rsaKey(t), "tls_ciphers = TLS_RSA_WITH_AES_128_CBC_SHA256")
		s.versions = []string{"auto"} // TLS knows nothing of KMIP's versions
		return s
	}},
}

var listening = regexp.MustCompile(`(?m)^listening (\S+)$`)

// startMock starts kmip-mock with throw-away certificates and these further arguments.
func startMock(t *testing.T, args ...string) *server {
	t.Helper()
	return startMockBy(t, nil, args...)
}

// startMockBy has a command run it.
func startMockBy(t *testing.T, wrapper []string, args ...string) *server {
	t.Helper()
	dir := t.TempDir()
	inventory := filepath.Join(dir, "inventory.json")
	s := &server{
		config:   filepath.Join(dir, "nova.conf"),
		other:    pair{filepath.Join(dir, "other-client.pem"), filepath.Join(dir, "other-client-key.pem")},
		versions: []string{"auto", "1.0", "1.1", "1.2", "1.3", "1.4", "2.0", "2.1"},
	}
	s.process = start(t, slices.Concat(wrapper, []string{
		program("kmip-mock"), "--listen", "127.0.0.1:0", "--pki", dir, "--inventory", inventory,
	}, args)...)
	s.until(t, func() bool {
		match := listening.FindStringSubmatch(s.out.String())
		if match != nil {
			s.address = match[1]
		}
		return match != nil
	})
	s.count = func(t *testing.T) int { return len(readInventory(t, inventory)) }
	return s
}

// entry is an object in the mock's inventory.
type entry struct {
	ID        string   `json:"id"`
	Names     []string `json:"names"`
	Type      string   `json:"type"`
	State     string   `json:"state"`
	ProjectID string   `json:"project_id"`
	UserID    string   `json:"user_id"`
}

func readInventory(t *testing.T, path string) (entries []entry) {
	t.Helper()
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &entries), "%s", text)
	return entries
}

func writeLines(t *testing.T, path string, lines ...string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
}
