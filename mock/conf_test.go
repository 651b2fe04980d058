package mock_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

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
		require.NoError(t, pki.WriteConf(test.address, &mock.Config{Users: test.users}))
		text, err := os.ReadFile(filepath.Join(dir, "nova.conf"))
		require.NoError(t, err)
		_, section, _ := strings.Cut(string(text), "[kmip]\n")
		require.Subset(t, strings.Split(section, "\n"), test.lines)
		require.NotContains(t, section, test.without)
	}
}
