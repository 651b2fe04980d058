package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// stage is what the measurements play on: the programs, a key manager with one key in it, and what goes over the wire when
// that key is read.
type stage struct {
	ctx     context.Context
	stop    context.CancelFunc // of the servers
	servers []*exec.Cmd
	dir     string // of everything here
	mock    string // the key manager's address
	keyID   string
	request string // the line that asks for the key
	line    []byte // the line that answers it
	get     exchange
}

func newStage(ctx context.Context) (*stage, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	s := &stage{dir: dir}
	s.ctx, s.stop = context.WithCancel(ctx)
	if err := s.set(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stage) close() {
	s.stop()
	for _, server := range s.servers {
		_ = server.Wait() // it was killed
	}
	os.RemoveAll(s.dir)
}

// set builds the programs, starts the mock and looks on while the helper reads a key that it made.
func (s *stage) set() (err error) {
	if err := s.build(); err != nil {
		return err
	}
	if s.mock, err = s.serve("kmip-mock", "--listen", "127.0.0.1:0", "--pki", s.pki()); err != nil {
		return err
	}
	if err := s.create(); err != nil {
		return err
	}
	s.request = fmt.Sprintf(`{"version":1,"id":"bench","op":"get_key","args":{"key_id":%q}}`+"\n", s.keyID)
	if err := s.record(); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(s.path("request"), s.get.request, 0o600),
		os.WriteFile(s.path("reply"), s.get.reply, 0o600),
		os.WriteFile(s.path("line"), s.line, 0o600),
	)
}

// build builds all programs alike, with README.md's tags, and copies them, as whoever installs a program does: the file that a
// linker has written in pieces can take a tenth longer to start than its copy.
func (s *stage) build() error {
	built := s.path("built")
	cmd := exec.CommandContext(s.ctx, "go", "build", "-tags", "nethttpomithttp2", "-o", built+"/", "./cmd/...", "./tests/bench/floor/...")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build, from the repository's root: %w\n%s", err, out)
	}
	return os.CopyFS(s.dir, os.DirFS(built))
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

func (s *stage) pki() string { return s.path("pki") }

func (s *stage) helper() program {
	return program{s.path("kmip-keymgr-helper"), []string{"--config-file", s.conf()}, s.request}
}

func (s *stage) conf() string { return filepath.Join(s.pki(), "nova.conf") }

// rawGet is the helper's floor.
func (s *stage) rawGet() program { return program{s.path("get"), s.prepared(), s.request} }

// prepared are the arguments of a floor program that exchanges prepared bytes with the key manager.
func (s *stage) prepared() []string {
	return []string{s.mock, s.pki(), s.path("request"), strconv.Itoa(len(s.get.reply))}
}

// serve starts a server that prints "listening ADDRESS", and returns the address. It runs until the stage is closed.
func (s *stage) serve(name string, args ...string) (string, error) {
	cmd := s.command(program{name: s.path(name), args: args})
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	s.servers = append(s.servers, cmd)
	line, err := bufio.NewReader(out).ReadString('\n')
	address, ok := strings.CutPrefix(strings.TrimSpace(line), "listening ")
	if !ok {
		return "", fmt.Errorf("%s says %q and does not listen: %w", name, line, err)
	}
	return address, nil
}

// answer is what matters here of a response line.
type answer struct {
	Result struct {
		KeyID  string `json:"key_id"`
		Object struct{ Value string }
	}
}

func (s *stage) ask(p program) (*answer, error) {
	out, err := s.run(p)
	if err != nil {
		return nil, err
	}
	a := new(answer)
	return a, json.Unmarshal(out, a)
}

func (s *stage) create() error {
	creation := s.helper()
	creation.stdin = `{"version":1,"op":"create_key","args":{"algorithm":"AES","length":256,"name":"volume key"}}`
	a, err := s.ask(creation)
	if err != nil {
		return err
	}
	s.keyID = a.Result.KeyID
	return nil
}

// record has the helper read the key through a relay in this process.
func (s *stage) record() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	heard := make(chan error, 1)
	go func() {
		var err error
		s.get, err = overhear(listener, s.mock, s.pki())
		heard <- err
	}()
	cmd := s.command(s.helper())
	cmd.Env = append(os.Environ(), "OS_KMIP__PORT="+port)
	s.line, err = output(cmd)
	listener.Close() // which ends the relay, had nobody come
	return errors.Join(err, <-heard)
}

// sameKey makes sure that the helper and its floor read the same.
func (s *stage) sameKey() error {
	ours, err := s.ask(s.helper())
	if err != nil {
		return err
	}
	floor, err := s.ask(s.rawGet())
	if err == nil && (*ours != *floor || ours.Result.Object.Value == "") {
		err = errors.New("the helper and its floor read different keys")
	}
	return err
}
