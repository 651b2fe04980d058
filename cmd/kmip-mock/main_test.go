package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"kmip-keymgr/kmip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// launch runs the program until stop, which returns its exit status.
func launch(t *testing.T, args ...string) (address string, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	var stderr bytes.Buffer
	status := make(chan int, 1)
	go func() {
		status <- run(ctx, args, in, &stderr)
		in.Close()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err, stderr.String())
	return strings.TrimSuffix(strings.TrimPrefix(line, "listening "), "\n"), func() int {
		cancel()
		rest, err := io.ReadAll(out)
		require.NoError(t, err)
		require.Empty(t, rest)
		require.Empty(t, stderr.String())
		return <-status
	}
}

func TestServe(t *testing.T) {
	dir := t.TempDir()
	pki, inventory := filepath.Join(dir, "pki"), filepath.Join(dir, "objects.json")
	address, stop := launch(t, "--listen", "127.0.0.1:0", "--pki", pki, "--inventory", inventory,
		"--user", "fred:p$x", "--kmip-versions", "1.2", "--fault", "Query:reason=GeneralFailure")
	require.Regexp(t, `^127\.0\.0\.1:\d+$`, address)

	cert, err := tls.LoadX509KeyPair(filepath.Join(pki, "client.pem"), filepath.Join(pki, "client-key.pem"))
	require.NoError(t, err)
	ca, err := os.ReadFile(filepath.Join(pki, "ca.pem"))
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(ca))
	client := kmip.NewClient(kmip.Config{
		Hosts: []string{address}, TLS: kmip.TLS{Certificate: cert, Roots: roots}, ConnectTimeout: 5 * time.Second,
		Credentials: []kmip.Credential{kmip.PasswordCredential("fred", []byte("p$x"))},
	})
	defer client.Close()
	_, err = kmip.Do(t.Context(), client, &kmip.Locate{})
	require.NoError(t, err)
	require.Equal(t, kmip.V1_2, client.Version())
	_, err = kmip.Do(t.Context(), client, &kmip.Query{Functions: []kmip.QueryFunction{kmip.QueryObjects}})
	require.ErrorIs(t, err, kmip.GeneralFailure)

	conf, err := os.ReadFile(filepath.Join(pki, "nova.conf"))
	require.NoError(t, err)
	_, port, _ := strings.Cut(address, ":")
	for _, line := range []string{"[kmip]", "host = 127.0.0.1", "port = " + port, "username = fred", "password = p$$x", "certfile = " + pki + "/client.pem"} {
		require.Contains(t, string(conf), line+"\n")
	}
	require.FileExists(t, inventory)
	require.Zero(t, stop())

	address, stop = launch(t, "--listen", "0.0.0.0:0", "--pki", pki)
	require.Regexp(t, `^0\.0\.0\.0:\d+$`, address)
	require.Zero(t, stop())

	address, stop = launch(t, "--listen", "localhost:0", "--pki", pki)
	require.NotEmpty(t, address)
	require.Zero(t, stop())
}

func TestUsage(t *testing.T) {
	for name, args := range map[string][]string{
		"no pki":       {},
		"unknown flag": {"--pki", "x", "--colour"},
		"keystone":     {"--pki", "x", "--keystone", "file"},
		"argument":     {"--pki", "x", "y"},
		"versions":     {"--pki", "x", "--kmip-versions", "1.4-1.0"},
		"version":      {"--pki", "x", "--kmip-versions", "3.0"},
		"user":         {"--pki", "x", "--user", "fred"},
		"fault":        {"--pki", "x", "--fault", "Create:explode"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			require.Equal(t, 2, run(t.Context(), args, &stdout, &stderr))
			require.Empty(t, stdout.String())
			require.Equal(t, 1, strings.Count(stderr.String(), "\n"), stderr.String())
			require.True(t, strings.HasPrefix(stderr.String(), "kmip-mock: "), stderr.String())
		})
	}
	require.NoFileExists(t, "x")
}

func TestFailures(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for name, args := range map[string][]string{
		"pki is a file":  {"--pki", file},
		"listen nowhere": {"--pki", dir, "--listen", "192.0.2.1:0"},
		"inventory":      {"--pki", dir, "--listen", "127.0.0.1:0", "--inventory", filepath.Join(dir, "none", "x")},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			require.Equal(t, 1, run(t.Context(), args, &stdout, &stderr))
			require.NotEmpty(t, stderr.String())
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	var stdout, stderr bytes.Buffer
	require.Zero(t, run(t.Context(), []string{"--help"}, &stdout, &stderr))
	for _, flag := range []string{"--listen", "--pki", "--user", "--kmip-versions", "--fault", "--inventory", "--version", "--help"} {
		require.Contains(t, stdout.String(), flag)
	}
	stdout.Reset()
	require.Zero(t, run(t.Context(), []string{"--version"}, &stdout, &stderr))
	require.True(t, strings.HasPrefix(stdout.String(), "kmip-mock "))
	require.Empty(t, stderr.String())
}
