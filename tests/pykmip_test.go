package tests

import (
	"crypto"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	python       = "/usr/bin/python3" // Debian's own: another one first on PATH would not see Debian's packages
	pykmipServer = "/usr/bin/pykmip-server"
)

// startPyKMIP starts Debian's PyKMIP server with a server key of the test's choice, for which clients need these options.
func startPyKMIP(t *testing.T, key crypto.Signer, options ...string) *server {
	t.Helper()
	return newPKI(t).startPyKMIP(t, key, options...)
}

func (p *pki) startPyKMIP(t *testing.T, key crypto.Signer, options ...string) *server {
	t.Helper()
	needs(t, pykmipServer, "python3-pykmip")
	port := freePort(t)
	identity, client := p.server(t, key, nil), p.client(t, "client")
	database := filepath.Join(p.dir, "pykmip.database")
	policies := filepath.Join(p.dir, "policies")
	require.NoError(t, os.Mkdir(policies, fs.ModePerm))
	conf := filepath.Join(p.dir, "server.conf")
	writeLines(t, conf, "[server]", "hostname = 127.0.0.1", "port = "+port, "certificate_path = "+identity.cert,
		"key_path = "+identity.key, "ca_path = "+p.ca(), "auth_suite = TLS1.2", "policy_path = "+policies,
		"enable_tls_client_auth = True", "logging_level = INFO", "database_path = "+database)
	s := &server{
		address:  "127.0.0.1:" + port,
		config:   filepath.Join(p.dir, "nova.conf"),
		other:    p.client(t, "other"),
		versions: []string{"auto", "1.0", "1.1", "1.2", "1.3", "1.4", "2.0"},
		count:    func(t *testing.T) int { return countRows(t, database) },
	}
	writeLines(t, s.config, append([]string{
		"[kmip]", "host = " + s.address, "certfile = " + client.cert, "keyfile = " + client.key, "ca_certs = " + p.ca(),
	}, options...)...)
	s.process = start(t, python, "-W", "ignore", pykmipServer, "-f", conf, "-l", filepath.Join(p.dir, "server.log"))
	s.until(t, func() bool { return listens(s.address) })
	return s
}

// needs skips a test whose peer is not installed, or fails it where tests/run has promised that it is.
func needs(t *testing.T, program, debianPackage string) {
	t.Helper()
	if _, err := os.Stat(program); err == nil {
		return
	}
	message := fmt.Sprintf("%s is not there (Debian package %s)", program, debianPackage)
	require.NotEqual(t, "1", os.Getenv("KMIP_TESTS_REQUIRE_PEERS"), message)
	t.Skip(message)
}

// countRows asks the server's database, which knows better than any KMIP answer what exists.
func countRows(t *testing.T, database string) int {
	t.Helper()
	out, err := exec.Command(python, "-c", `import sqlite3, sys
print(sqlite3.connect(sys.argv[1], timeout=10).execute("select count(*) from managed_objects").fetchone()[0])`, database).Output()
	require.NoError(t, err)
	n, err := strconv.Atoi(strings.TrimSpace(string(out)))
	require.NoError(t, err)
	return n
}
