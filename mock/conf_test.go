package mock_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
	"kmip-keymgr/mock"
)

// TestConf: every line is as oslo.config reads it back.
func TestConf(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	pki, err := mock.OpenPKI(dir)
	require.NoError(t, err)
	for _, test := range []struct {
		address string
		users   []mock.User
		lines   []string
		without string
	}{
		{"127.0.0.1:5696", nil, []string{"host = 127.0.0.1", "port = 5696", "ca_certs = " + dir + "/ca.pem"}, "username"},
		{"[::1]:1", nil, []string{"host = [::1]", "port = 1"}, "server_name"},
		{"0.0.0.0:1", nil, []string{"host = localhost"}, "server_name"},
		{"[::]:1", nil, []string{"host = localhost"}, "server_name"},
		{"192.0.2.1:1", nil, []string{"host = 192.0.2.1", "server_name = localhost"}, "username"},
		{"127.0.0.1:1", []mock.User{{Name: "a$b", Password: []byte(`"c"`)}, {Name: "d"}}, []string{"username = a$$b", `password = ""c""`}, "server_name"},
	} {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "nova.conf")))
		require.NoError(t, pki.WriteConf(test.address, &mock.Config{Users: test.users}))
		text, err := os.ReadFile(filepath.Join(dir, "nova.conf"))
		require.NoError(t, err)
		_, section, _ := strings.Cut(string(text), "[kmip]\n")
		require.Subset(t, strings.Split(section, "\n"), test.lines)
		require.NotContains(t, section, test.without)
	}
}

// TestConfIsKept: of a file that is there, only what keeps it from working is changed, and what somebody wrote stays.
func TestConfIsKept(t *testing.T) {
	dir := t.TempDir()
	pki, err := mock.OpenPKI(dir)
	require.NoError(t, err)
	users := []mock.User{{Name: "fred", Password: []byte("p")}}
	const own = "certfile = a\nkeyfile = b\nca_certs = c\n"
	paths := strings.NewReplacer("[kmip]\n", "[kmip]\n"+own, "[KMIP]\n", "[KMIP]\n"+own)
	for name, test := range map[string]struct {
		address      string
		config       mock.Config
		before, then string
	}{
		"as it should be": {"127.0.0.1:1", mock.Config{}, "[kmip]\nhost=127.0.0.1\nport:1\n# mine\n", "[kmip]\nhost=127.0.0.1\nport:1\n# mine\n"},
		"another port": {
			"127.0.0.1:2",
			mock.Config{},
			"[key_manager]\nport = 7\n\n[KMIP]\n#port = 3\nport = 1\ntimeout = 9\n username = x\nhost = 127.0.0.1\n\n[other]\nport = 5",
			"[key_manager]\nport = 7\n\n[KMIP]\n#port = 3\nport = 2\ntimeout = 9\n username = x\nhost = 127.0.0.1\n\n[other]\nport = 5",
		},
		"the last one counts": {"127.0.0.1:2", mock.Config{}, "[kmip]\nhost = 127.0.0.1\nport = 2\nport = 3\n", "[kmip]\nhost = 127.0.0.1\nport = 2\nport = 2\n"},
		"no such options":     {"127.0.0.1:2", mock.Config{}, "[kmip]\ntimeout = 9\n\n[other]\n", "[kmip]\ntimeout = 9\nhost = 127.0.0.1\nport = 2\n\n[other]\n"},
		"no section":          {"127.0.0.1:2", mock.Config{}, "[other]\na = b\n", "[other]\na = b\n\n[kmip]\nhost = 127.0.0.1\nport = 2\n"},
		"empty":               {"127.0.0.1:2", mock.Config{}, "", "\n\n[kmip]\nhost = 127.0.0.1\nport = 2\n"},
		"several hosts":       {"127.0.0.1:2", mock.Config{}, "[kmip]\nhost = a:1, b:2\nport = 9\n", "[kmip]\nhost = a:1, b:2\nport = 9\n"},
		"a user":              {"127.0.0.1:2", mock.Config{Users: users}, "[kmip]\nhost = 127.0.0.1\nport = 2\nusername = joe\n", "[kmip]\nhost = 127.0.0.1\nport = 2\nusername = fred\npassword = p\n"},
		"no user any more":    {"127.0.0.1:2", mock.Config{}, "[kmip]\nhost = 127.0.0.1\nport = 2\nusername = joe\n", "[kmip]\nhost = 127.0.0.1\nport = 2\nusername = joe\n"},
		"no Keystone any more": {
			"127.0.0.1:2",
			mock.Config{},
			"[kmip]\nmode = integrated\nhost = 127.0.0.1\nport = 2\n", "[kmip]\nmode = standalone\nhost = 127.0.0.1\nport = 2\n",
		},
		"several lines": {"127.0.0.1:2", mock.Config{}, "[kmip]\nhost = a:1\n , b:2\nport = 9\n", "[kmip]\nhost = a:1\n , b:2\nport = 9\n"},
		"a line more":   {"127.0.0.1:2", mock.Config{}, "[kmip]\nhost =\n 10.0.0.1\nport = 2\n", "[kmip]\nhost = 127.0.0.1\n\nport = 2\n"},
		"a version that it speaks": {
			"127.0.0.1:2",
			mock.Config{Versions: mock.VersionRange{Min: kmip.V1_0, Max: kmip.V1_4}},
			"[kmip]\nhost = 127.0.0.1\nport = 2\nkmip_version = 1.4\n", "[kmip]\nhost = 127.0.0.1\nport = 2\nkmip_version = 1.4\n",
		},
		"a version that it does not speak": {
			"127.0.0.1:2",
			mock.Config{Versions: mock.VersionRange{Min: kmip.V2_0, Max: kmip.V2_1}},
			"[kmip]\nhost = 127.0.0.1\nport = 2\nkmip_version = 1.4\n", "[kmip]\nhost = 127.0.0.1\nport = 2\nkmip_version = auto\n",
		},
		"another host": {"192.0.2.1:2", mock.Config{}, "[kmip]\nhost = 127.0.0.1\nport = 2\n", "[kmip]\nhost = 192.0.2.1\nport = 2\nserver_name = localhost\n"},
	} {
		file := filepath.Join(dir, "nova.conf")
		if strings.Contains(strings.ToLower(test.before), "[kmip]") {
			test.before, test.then = paths.Replace(test.before), paths.Replace(test.then)
		} else {
			test.then += fmt.Sprintf("ca_certs = %[1]s/ca.pem\ncertfile = %[1]s/client.pem\nkeyfile = %[1]s/client-key.pem\n", dir)
		}
		require.NoError(t, os.WriteFile(file, []byte(test.before), 0o600))
		require.NoError(t, os.Chmod(file, 0o640))
		require.NoError(t, pki.WriteConf(test.address, &test.config))
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, test.then, string(text), name)
		info, err := os.Stat(file)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o640), info.Mode().Perm())
	}
}

// TestPKIWithItsKey has its CA made again, for which everything is good that was issued before.
func TestPKIWithItsKey(t *testing.T) {
	dir := t.TempDir()
	before, err := mock.OpenPKI(dir)
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(dir, "ca.pem")))
	after, err := mock.OpenPKI(dir)
	require.NoError(t, err)
	for _, cert := range []tls.Certificate{before.Server, before.Client, before.Other} {
		_, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: after.Roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		require.NoError(t, err)
	}
	require.Equal(t, before.Server.Certificate, after.Server.Certificate)

	require.NoError(t, os.Remove(filepath.Join(dir, "ca.pem")))
	for _, text := range []string{"", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "ca-key.pem"), []byte(text), 0o600))
		_, err = mock.OpenPKI(dir)
		require.ErrorContains(t, err, "no key in "+filepath.Join(dir, "ca-key.pem"))
		require.NoFileExists(t, filepath.Join(dir, "ca.pem"))
	}
}

// TestPKIWithoutItsCA is refused, and left as it is.
func TestPKIWithoutItsCA(t *testing.T) {
	for _, also := range [][]string{{"ca.pem", "ca-key.pem"}, {"ca.pem", "ca-key.pem", "client.pem", "client-key.pem"}} {
		dir := t.TempDir()
		_, err := mock.OpenPKI(dir)
		require.NoError(t, err)
		for _, name := range also {
			require.NoError(t, os.Remove(filepath.Join(dir, name)))
		}
		_, err = mock.OpenPKI(dir)
		require.ErrorContains(t, err, "ca.pem and its key are missing in "+dir)
		require.NoFileExists(t, filepath.Join(dir, "ca.pem"))
	}
}
