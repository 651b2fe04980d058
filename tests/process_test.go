package tests

import (
	"bytes"
	"net"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serverLife bounds a server's life even where the test process is killed and cannot stop it: timeout(1) does.
const serverLife = "300"

// process is a server that a test started.
type process struct {
	cmd  *exec.Cmd
	out  *log
	done chan struct{} // closed when it has ended
}

// start runs a server until the test ends. It gets a process group of its own, since PyKMIP forks.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{out: new(log), done: make(chan struct{})}
	p.cmd = exec.Command("timeout", append([]string{"--signal=KILL", serverLife}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.WaitDelay = time.Second
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait() // killed or not: who cares about the status asks cmd.ProcessState
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.signal(syscall.SIGKILL) // whatever is left of the group
		p.wait(t)
		if t.Failed() {
			t.Logf("%s wrote:\n%s", args[0], p.out)
		}
	})
	return p
}

// signal goes to the whole group.
func (p *process) signal(s syscall.Signal) error { return syscall.Kill(-p.cmd.Process.Pid, s) }

func (p *process) wait(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		require.Fail(t, "the process does not end", "%v", p.cmd.Args)
	}
}

// until polls for what a server does once it is ready.
func (p *process) until(t *testing.T, ready func() bool) {
	t.Helper()
	for limit := time.Now().Add(30 * time.Second); !ready(); time.Sleep(10 * time.Millisecond) {
		select {
		case <-p.done:
			require.Fail(t, "the server ended", "%s", p.out)
		default:
			require.True(t, time.Now().Before(limit), "the server does not get ready: %s", p.out)
		}
	}
}

// log keeps what a process writes, for readers while it writes.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// nobodysPort is one on which nobody listens. No server gets it, as it may get one that was free a moment ago.
const nobodysPort = "1"

// freePort is one that a server can be given.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return port
}

func listens(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}
