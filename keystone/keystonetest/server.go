// Package keystonetest runs Debian's Keystone for tests: on the loopback address, with sqlite and Fernet tokens, in a
// directory of its own, without apache. It needs the Debian package python3-keystone and nothing else. Setting up takes
// about 5 s, and starting again 2 s, so a package's tests share one.
package keystonetest

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

//go:embed serve.py
var serve []byte

const (
	python        = "/usr/bin/python3" // Debian's: python3-keystone is not for another one
	adminPassword = "the-administrator"
	patience      = 60 * time.Second // for the set-up, on a busy machine
)

// conf is keystone.conf. Passwords are hashed as cheaply as can be. The cache is one that Keystone keeps right itself, being
// in the same process. DIR is the server's directory.
const conf = `[DEFAULT]
use_stderr = true
[database]
connection = sqlite:///DIR/keystone.db
[fernet_tokens]
key_repository = DIR/fernet
[fernet_receipts]
key_repository = DIR/fernet
[credential]
key_repository = DIR/credential
[identity]
password_hash_rounds = 4
[cache]
backend = oslo_cache.dict
[oslo_policy]
enforce_scope = false
enforce_new_defaults = false
`

// Server is a Keystone with the user, project and role admin, and the roles member, reader and service.
type Server struct {
	URL string // for auth_url

	dir, address string
	log          *os.File
	process      *exec.Cmd
	admin        string // a token of the administrator's
	role         map[string]string
	count        int
}

// Missing says what is not installed, or nothing.
func Missing() string {
	const find = "import importlib.util, sys; sys.exit(importlib.util.find_spec('keystone') is None)"
	if exec.Command(python, "-c", find).Run() != nil {
		return "python3-keystone is not installed"
	}
	return ""
}

// Require skips the test where Keystone is not installed, or fails it where KMIP_TESTS_REQUIRE_PEERS is 1.
func Require(t testing.TB) {
	t.Helper()
	missing := Missing()
	if missing == "" {
		return
	}
	if os.Getenv("KMIP_TESTS_REQUIRE_PEERS") == "1" {
		t.Fatal(missing + ", and KMIP_TESTS_REQUIRE_PEERS=1 asks for it")
	}
	t.Skip(missing)
}

// Start runs a server until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	Require(t)
	s, err := Run(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	return s
}

// Run sets a server up in an empty directory and waits until it answers. The caller stops it.
func Run(dir string) (*Server, error) {
	s := &Server{dir: dir, address: "127.0.0.1:0", role: map[string]string{}}
	if err := s.write(); err != nil {
		return nil, err
	}
	if err := s.start(); err != nil {
		return nil, err
	}
	if err := s.prepare(); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Server) write() error {
	if err := os.WriteFile(s.file("serve.py"), serve, 0o600); err != nil {
		return err
	}
	text := strings.ReplaceAll(conf, "DIR", s.dir)
	return os.WriteFile(s.file("keystone.conf"), []byte(text), 0o600)
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

// start hands the process a socket that listens already, so that no port is guessed and no client comes too early.
func (s *Server) start() error {
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		return err
	}
	defer listener.Close()
	socket, err := listener.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	defer socket.Close()
	s.address = listener.Addr().String()
	s.URL = "http://" + s.address + "/v3"
	return s.spawn(socket)
}

// spawn starts the process, which ends with its standard input: at the latest with this process.
func (s *Server) spawn(socket *os.File) (err error) {
	if s.log, err = os.OpenFile(s.file("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	s.process = exec.Command(python, "-s", s.file("serve.py"))
	s.process.Dir = s.dir
	s.process.Env = []string{
		"HOME=" + s.dir, "LC_ALL=C.UTF-8", "PATH=/usr/bin:/bin",
		"ADMIN_PASSWORD=" + adminPassword, "KEYSTONE_URL=" + s.URL,
	}
	s.process.Stdout, s.process.Stderr = s.log, s.log
	s.process.ExtraFiles = []*os.File{socket}
	if _, err := s.process.StdinPipe(); err != nil {
		return err
	}
	return s.process.Start()
}

// Stop ends the process and waits for it. A stopped server can be started again.
func (s *Server) Stop() {
	if s.process == nil {
		return
	}
	s.process.Process.Kill()
	s.process.Wait()
	s.log.Close()
	s.process = nil
}

// Restart starts a stopped server, at the same address and with the same data, and waits until it answers.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	require.NoError(t, s.start())
	require.NoError(t, s.wait())
}

// Pause makes the server accept connections and answer nothing, until Resume.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	require.NoError(t, s.process.Process.Signal(syscall.SIGSTOP))
}

// Resume ends a Pause.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	require.NoError(t, s.process.Process.Signal(syscall.SIGCONT))
}

// wait asks once, which waits for as long as the server takes; its end ends the connection.
func (s *Server) wait() error {
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get(s.URL)
	if err != nil {
		log, _ := os.ReadFile(s.file("log"))
		return fmt.Errorf("keystone does not start: %w\n%s", err, bytes.TrimSpace(log))
	}
	r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return errors.New("keystone answers " + r.Status)
	}
	return nil
}

// Override changes an option of Keystone's, written group/option, until the test ends. token/expiration=0 makes tokens
// that are expired from the beginning.
func (s *Server) Override(t testing.TB, option, value string) {
	t.Helper()
	s.override(t, option+"="+value)
	t.Cleanup(func() { s.override(t, option+"=") })
}

func (s *Server) override(t testing.TB, query string) {
	t.Helper()
	r, err := http.Post("http://"+s.address+"/override?"+query, "", nil)
	require.NoError(t, err)
	r.Body.Close()
	require.Equal(t, http.StatusNoContent, r.StatusCode)
}
