package tests

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long one helper may take, whatever it is told.
const patience = 30 * time.Second

// helper is a way of calling kmip-keymgr-helper.
type helper struct {
	configs []string       // configuration files, later ones win
	wrapper []string       // a command that runs it
	program string         // another one than the one that was built, "" for that
	context map[string]any // of every request
}

// outcome is what a helper left behind.
type outcome struct {
	status int
	stdout string
	stderr string
}

// response and what is in it are spelt out here and not taken from the product: the wire is what callers rely on.
type response struct {
	Version int      `json:"version"`
	ID      *string  `json:"id"`
	Result  *result  `json:"result"`
	Error   *failure `json:"error"`
	Server  string   `json:"server"`
}

type result struct {
	KeyID        string   `json:"key_id"`
	PrivateKeyID string   `json:"private_key_id"`
	PublicKeyID  string   `json:"public_key_id"`
	Object       *object  `json:"object"`
	Objects      []object `json:"objects"`
}

type object struct {
	Type      string `json:"type"`
	Name      any    `json:"name"`
	Created   any    `json:"created"`
	Value     any    `json:"value"`
	Algorithm string `json:"algorithm,omitempty"`
	BitLength int    `json:"bit_length,omitempty"`
	ID        string `json:"id"`
	Consumers []any  `json:"consumers"`
	State     string `json:"state"`
}

type failure struct {
	Kind          string `json:"kind"`
	Message       string `json:"message"`
	Reason        string `json:"reason"`
	Retryable     bool   `json:"retryable"`
	MaybeExecuted bool   `json:"maybe_executed"`
	Server        string `json:"server"`
}

// args are the arguments of a request.
type args = map[string]any

// with is the helper under further options, in a file of their own: the last file wins.
func (h helper) with(t *testing.T, options ...string) helper {
	t.Helper()
	path := filepath.Join(t.TempDir(), "more.conf")
	writeLines(t, path, append([]string{"[kmip]"}, options...)...)
	h.configs = append(h.configs[:len(h.configs):len(h.configs)], path)
	return h
}

// as is the helper as another client of the key manager.
func (h helper) as(t *testing.T, client pair) helper {
	t.Helper()
	return h.with(t, "certfile = "+client.cert, "keyfile = "+client.key)
}

// inProject is the helper called with a context of that project.
func (h helper) inProject(project string) helper {
	h.context = args{"project_id": project, "user_id": "user-of-" + project, "request_id": "req-1"}
	return h
}

// command is the helper's command line, with these further flags.
func (h helper) command(ctx context.Context, flags ...string) *exec.Cmd {
	line := append(h.wrapper[:len(h.wrapper):len(h.wrapper)], cmp.Or(h.program, program("kmip-keymgr-helper")))
	for _, config := range h.configs {
		line = append(line, "--config-file", config)
	}
	line = append(line, flags...)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.WaitDelay = time.Second
	return cmd
}

// run feeds the helper its whole input and reads all it says.
func (h helper) run(t *testing.T, stdin string, flags ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := h.command(ctx, flags...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	require.NoError(t, ctx.Err(), "the helper took longer than %v", patience)
	var exit *exec.ExitError
	require.True(t, err == nil || errors.As(err, &exit), "%v", err)
	o := outcome{status: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String()}
	require.NotContains(t, o.stderr, "goroutine ", "the helper crashed")
	return o
}

// ask is a one-shot: a process for one request.
func (h helper) ask(t *testing.T, op string, a args) response {
	t.Helper()
	o := h.run(t, h.request(t, op, a))
	r := parse(t, o.stdout)
	require.Empty(t, o.stderr, "a response says all there is to say")
	require.Equal(t, expectedStatus(r), o.status, "%s", o.stdout)
	return r
}

// asker is one way to have requests answered: one process each, or all by one.
type asker func(t *testing.T, op string, a args) response

func (h helper) request(t *testing.T, op string, a args) string {
	t.Helper()
	line, err := json.Marshal(args{"version": 1, "id": "request of " + t.Name(), "op": op, "context": h.context, "args": a})
	require.NoError(t, err)
	return string(line) + "\n"
}

// parse reads one line of the protocol, strictly: a result or an error, and the id echoed.
func parse(t *testing.T, line string) (r response) {
	t.Helper()
	require.True(t, strings.HasSuffix(line, "\n") && strings.Count(line, "\n") == 1, "not one line: %q", line)
	require.NoError(t, json.Unmarshal([]byte(line), &r), "%s", line)
	require.Equal(t, 1, r.Version)
	require.True(t, (r.Result == nil) != (r.Error == nil), "a result or an error: %s", line)
	return r
}

// expectedStatus is what a process that gave only this response exits with.
func expectedStatus(r response) int {
	switch {
	case r.Error == nil:
		return 0
	case r.Error.Kind == "config":
		return 2
	}
	return 1
}

// session is one helper process that answers many requests.
type session struct {
	helper helper
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr *log
}

// session starts a helper that lives until end, or until the test does.
func (h helper) session(t *testing.T, environment ...string) *session {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*patience)
	s := &session{helper: h, cmd: h.command(ctx), stderr: new(log)}
	s.cmd.Stderr = s.stderr
	s.cmd.Env = append(os.Environ(), environment...)
	var err error
	s.in, err = s.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := s.cmd.StdoutPipe()
	require.NoError(t, err)
	s.out = bufio.NewReaderSize(out, 1<<20)
	require.NoError(t, s.cmd.Start())
	t.Cleanup(func() {
		cancel()
		_ = s.cmd.Wait() // already waited for, unless the test failed
	})
	return s
}

// ask writes one request and waits for its answer: the next comes only after.
func (s *session) ask(t *testing.T, op string, a args) response {
	t.Helper()
	return parse(t, s.line(t, op, a))
}

func (s *session) line(t *testing.T, op string, a args) string {
	t.Helper()
	_, err := io.WriteString(s.in, s.helper.request(t, op, a))
	require.NoError(t, err, "%s", s.stderr)
	line, err := s.out.ReadString('\n')
	require.NoError(t, err, "%s", s.stderr)
	return line
}

// end closes the input and returns the exit status.
func (s *session) end(t *testing.T) int {
	t.Helper()
	require.NoError(t, s.in.Close())
	rest, err := io.ReadAll(s.out)
	require.NoError(t, err)
	require.Empty(t, string(rest), "an answer to nothing")
	_ = s.cmd.Wait() // the status is what the caller wants to see
	return s.cmd.ProcessState.ExitCode()
}
