package tests

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMockStopsCleanly sends what quickstart and the Python tests send.
func TestMockStopsCleanly(t *testing.T) {
	s := startMock(t)
	h := helper{configs: []string{s.config}}
	session := h.session(t) // with a connection open, which must not hold the mock up
	keyID(t, session.ask(t, "create_key", args{"algorithm": "AES", "length": 256}))
	require.NoError(t, s.signal(syscall.SIGTERM))
	s.wait(t)
	require.True(t, s.cmd.ProcessState.Success(), "%v: %s", s.cmd.ProcessState, s.out)
	require.Equal(t, "unavailable", h.with(t, "max_retries = 0").ask(t, "get_key", args{"key_id": "6f1c0f52-58b1-4a42-8f6c-3c6e8f0b8a11"}).Error.Kind)
}

// TestMockPKI has every certificate and key, and keeps them as they are where they exist.
func TestMockPKI(t *testing.T) {
	s := startMock(t)
	dir := filepath.Dir(s.config)
	before := map[string]string{}
	for _, name := range []string{
		"ca.pem", "server.pem", "server-key.pem", "client.pem", "client-key.pem", "other-client.pem", "other-client-key.pem",
	} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		before[name] = string(text)
	}
	for _, name := range []string{"server-key.pem", "client-key.pem", "other-client-key.pem"} {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Zero(t, info.Mode()&0o077, name)
	}
	again := start(t, program("kmip-mock"), "--listen", "127.0.0.1:0", "--pki", dir)
	again.until(t, func() bool { return listening.MatchString(again.out.String()) })
	for name, text := range before {
		after, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, text, string(after), name)
	}
}

// TestMockConf works at each start, whichever port is free, and keeps what somebody has written into it.
func TestMockConf(t *testing.T) {
	first := startMock(t)
	text, err := os.ReadFile(first.config)
	require.NoError(t, err)
	writeLines(t, first.config, strings.TrimSuffix(string(text), "\n"), "# by hand", "max_retries = 0")
	h := helper{configs: []string{first.config}}
	second := startMock(t, "--pki", filepath.Dir(first.config))
	require.NotEqual(t, first.address, second.address)
	require.NoError(t, first.signal(syscall.SIGTERM))
	first.wait(t)
	require.Nil(t, h.ask(t, "list_keys", args{}).Error)
	after, err := os.ReadFile(first.config)
	require.NoError(t, err)
	require.Contains(t, string(after), "\n# by hand\nmax_retries = 0\n")
}

// TestMockInventory tells who owns what, and follows every change.
func TestMockInventory(t *testing.T) {
	s := startMock(t)
	inventory := filepath.Join(filepath.Dir(s.config), "inventory.json")
	h := helper{configs: []string{s.config}}.inProject("red")
	id := keyID(t, h.ask(t, "create_key", args{"algorithm": "AES", "length": 256}))
	entries := readInventory(t, inventory)
	require.Len(t, entries, 1)
	require.Equal(t, "red", entries[0].ProjectID)
	require.Equal(t, "user-of-red", entries[0].UserID)
	require.NotEmpty(t, entries[0].Names, "the Name by which an operator finds what a lost reply was about")
	require.Equal(t, "Active", entries[0].State)
	require.Equal(t, "SymmetricKey", entries[0].Type)
	remove(t, h.ask, id)
	require.Empty(t, readInventory(t, inventory))
}
