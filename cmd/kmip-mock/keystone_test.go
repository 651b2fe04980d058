package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKeystoneFile(t *testing.T) {
	for name, test := range map[string]struct{ text, says string }{
		"no section":  {"[DEFAULT]\n", "[keystone_authtoken]"},
		"no password": {"[keystone_authtoken]\nauth_url = http://k\nusername = u\nuser_domain_name = d\n", "password"},
		"bad URL":     {"[keystone_authtoken]\nauth_url = k\nuser_id = u\npassword = p\n", "auth_url"},
		"no cafile":   {"[keystone_authtoken]\nauth_url = https://k\nuser_id = u\npassword = secret\ncafile = /none\n", "cafile"},
		"insecure":    {"[keystone_authtoken]\nauth_url = https://k\nuser_id = u\npassword = secret\ninsecure = true\n", "insecure"},
		"no file":     {"", "no-such-file"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "no-such-file")
			if test.text != "" {
				require.NoError(t, os.WriteFile(file, []byte(test.text), 0o600))
			}
			var stdout, stderr bytes.Buffer
			require.Equal(t, 2, run(context.Background(), []string{"--pki", "x", "--keystone", file}, &stdout, &stderr))
			require.Contains(t, stderr.String(), test.says)
			require.Equal(t, 1, strings.Count(stderr.String(), "\n"), stderr.String())
			require.NotContains(t, stderr.String(), "secret")
		})
	}
}

// TestIntegratedConf: the nova.conf of a server that asks Keystone says so. Nothing is asked before it has to be.
func TestIntegratedConf(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "keystone.conf")
	require.NoError(t, os.WriteFile(file, []byte("[keystone_authtoken]\nauth_url = http://127.0.0.1:1\nuser_id = u\npassword = p\n"), 0o600))
	_, stop := launch(t, "--listen", "127.0.0.1:0", "--pki", dir, "--keystone", file)
	conf, err := os.ReadFile(filepath.Join(dir, "nova.conf"))
	require.NoError(t, err)
	require.Contains(t, string(conf), "\nmode = integrated\n")
	require.Zero(t, stop())
}
