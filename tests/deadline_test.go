package tests

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// allowed is the deadline of a request to a server that stalls.
	allowed = 250 * time.Millisecond
	// late is when it is over for certain, on a machine that has other things to do. What the helper is held to is 100 ms,
	// which the table shows.
	late = allowed + 5*time.Second
)

// stall is a key manager that does not come to an end.
type stall struct {
	name    string
	maybe   bool // the request may have been executed
	request func() (op string, a args)
	host    func(t *testing.T, config *tls.Config) string
	options []string
	more    func(t *testing.T) []string // options and sections
	wrapper func(t *testing.T) []string // nil for none; one that cannot be had is ""
}

// stalls are the servers. Nothing but the deadline ends the conversation with any of them.
func stalls() []stall {
	return []stall{
		{name: "a SYN black hole", host: blackHole},
		{name: "accepts and never speaks", host: unsecured(mute)},
		{name: "stops after ServerHello", host: unsecured(handshakes(func(c net.Conn) net.Conn { return &dam{Conn: c, left: 100} }))},
		{name: "a handshake byte by byte", host: unsecured(handshakes(func(c net.Conn) net.Conn { return drip{c} }))},
		{name: "stops after the handshake", host: secured(mute), maybe: true},
		{name: "a byte a second", host: secured(answers(headerOf(400), time.Second, 1)), maybe: true},
		{name: "a reply without end", host: secured(answers(headerOf(4<<20-16), time.Millisecond, 1)), maybe: true},
		{name: "a large length and no more", host: secured(answers(headerOf(4<<20-16), time.Hour, 0)), maybe: true},
		{name: "never reads", host: secured(func(net.Conn) { time.Sleep(time.Minute) }), maybe: true, request: large},
		{name: "hangs up at once", host: unsecured(func(net.Conn) {}), options: []string{"max_retries = 1000", "retry_interval = 0.01"}},
		{name: "hangs up on requests", host: secured(hangsUp), maybe: true, options: []string{"max_retries = 1000", "retry_interval = 0.01"}},
		{name: "one mute host after another", host: func(t *testing.T, config *tls.Config) string {
			return unsecured(mute)(t, config) + ", " + blackHole(t, config) + ", " + unsecured(mute)(t, config)
		}},
		{name: "a Keystone that is mute", host: blackHole, more: serviceOf(unsecured(mute))},
		{name: "a name server that is mute", host: func(*testing.T, *tls.Config) string { return "kms.example" }, wrapper: muteNames},
	}
}

// TestDeadlinesHold measures by how much an answer is late, in one-shots with a timeout and in sessions with a deadline_ms.
func TestDeadlinesHold(t *testing.T) {
	p := newPKI(t)
	identity := p.server(t, ecKey(t), nil)
	table := "by how much a deadline was overrun, in ms\n"
	for _, s := range stalls() {
		t.Run(s.name, func(t *testing.T) {
			options := append(s.options, "connect_timeout = 60", "timeout = 60")
			if s.more != nil {
				options = append(options, s.more(t)...)
			}
			h := p.helper(t, s.host(t, p.tlsConfig(t, identity)), options...)
			if s.wrapper != nil {
				if h.wrapper = s.wrapper(t); h.wrapper == nil {
					table += fmt.Sprintf("%-28s cannot be had here\n", s.name)
					return
				}
			}
			oneShot, session := s.oneShot(t, h), s.session(t, h)
			table += fmt.Sprintf("%-28s one-shot %5.1f   session %5.1f\n", s.name, ms(oneShot-allowed), ms(session-allowed))
			require.Less(t, max(oneShot, session), late)
		})
	}
	t.Log(table)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (s stall) ask() (op string, a args) {
	if s.request != nil {
		return s.request()
	}
	return "create_key", args{"algorithm": "AES", "length": 256}
}

// serviceOf is integrated mode with the service's own identity, at that Keystone.
func serviceOf(keystone func(*testing.T, *tls.Config) string) func(t *testing.T) []string {
	return func(t *testing.T) []string {
		return []string{
			"mode = integrated", "tokenless = service", "[kmip_service_user]", "auth_url = http://" + keystone(t, nil),
			"user_id = nova", "password = p", "http_connect_timeout = 60",
		}
	}
}

// large is a request that no buffer on the way holds.
func large() (string, args) {
	value := hex.EncodeToString(bytes.Repeat([]byte{0xA5}, 1<<20))
	return "store_key", args{"object": args{"type": "opaque", "value": value}}
}

// oneShot gives a helper its only request once that has started, since the time starts with the request.
func (s stall) oneShot(t *testing.T, h helper) time.Duration {
	t.Helper()
	op, a := s.ask()
	only := h.with(t, fmt.Sprintf("timeout = %g", allowed.Seconds())).session(t)
	time.Sleep(100 * time.Millisecond)
	began := time.Now()
	answer := only.line(t, op, a)
	took := time.Since(began)
	s.require(t, parse(t, answer))
	require.Equal(t, 1, only.end(t))
	return took
}

// session asks twice, since the first leaves something behind.
func (s stall) session(t *testing.T, h helper) (longest time.Duration) {
	t.Helper()
	op, a := s.ask()
	session := h.session(t)
	line := strings.Replace(h.request(t, op, a), `"op"`, fmt.Sprintf(`"deadline_ms":%d,"op"`, allowed.Milliseconds()), 1)
	require.NotNil(t, session.ask(t, "nothing that there is", nil).Error) // it has started
	for range 2 {
		began := time.Now()
		_, err := io.WriteString(session.in, line)
		require.NoError(t, err)
		answer, err := session.out.ReadString('\n')
		require.NoError(t, err, "%s", session.stderr)
		longest = max(longest, time.Since(began))
		s.require(t, parse(t, answer))
	}
	require.Equal(t, 1, session.end(t))
	return longest
}

func (s stall) require(t *testing.T, r response) {
	t.Helper()
	require.NotNil(t, r.Error)
	require.Equal(t, "unavailable", r.Error.Kind, "%s", r.Error.Message)
	require.True(t, r.Error.Retryable)
	if s.maybe && !r.Error.MaybeExecuted { // a machine so busy that the deadline came before the request had been sent
		require.Contains(t, r.Error.Message, "cannot reach ")
		return
	}
	require.Equal(t, s.maybe, r.Error.MaybeExecuted, "%s", r.Error.Message)
	if s.maybe {
		require.NotEmpty(t, r.Error.Server)
		require.Regexp(t, "under the Name [0-9a-f-]{36}$", r.Error.Message)
	}
}

// unsecured serves connections as they are, until the test ends.
func unsecured(handle func(net.Conn)) func(*testing.T, *tls.Config) string {
	return func(t *testing.T, config *tls.Config) string {
		return serveAll(t, func(conn net.Conn) { handle(withConfig{conn, config}) })
	}
}

// withConfig is a connection to a server that could secure it.
type withConfig struct {
	net.Conn
	config *tls.Config
}

// secured serves connections behind TLS.
func secured(handle func(net.Conn)) func(*testing.T, *tls.Config) string {
	return func(t *testing.T, config *tls.Config) string {
		return serveAll(t, func(conn net.Conn) {
			secure := tls.Server(conn, config)
			if secure.Handshake() == nil {
				handle(secure)
			}
		})
	}
}

// serveAll serves all connections at once and closes them when the test ends, or handle returns.
func serveAll(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var mu sync.Mutex
	conns := []io.Closer{listener}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range conns {
			c.Close()
		}
	})
	return listener.Addr().String()
}

// mute reads and says nothing.
func mute(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// hangsUp reads a request and hangs up.
func hangsUp(conn net.Conn) { _, _ = readMessage(conn) }

// handshakes has TLS over a connection of a kind, and then says nothing.
func handshakes(over func(net.Conn) net.Conn) func(net.Conn) {
	return func(conn net.Conn) { mute(tls.Server(over(conn), conn.(withConfig).config)) }
}

// dam lets so many bytes through.
type dam struct {
	net.Conn
	left int
}

func (d *dam) Write(b []byte) (int, error) {
	n := min(len(b), d.left)
	d.left -= n
	_, err := d.Conn.Write(b[:n])
	return len(b), err
}

// drip writes a byte at a time.
type drip struct{ net.Conn }

func (d drip) Write(b []byte) (int, error) {
	for i := range b {
		time.Sleep(20 * time.Millisecond)
		if _, err := d.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

// headerOf begins a Response Message of a length.
func headerOf(length uint32) []byte {
	return []byte{0x42, 0x00, 0x7B, 0x01, byte(length >> 24), byte(length >> 16), byte(length >> 8), byte(length)}
}

// answers reads a request, begins an answer and goes on with so many bytes at a time.
func answers(header []byte, every time.Duration, size int) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := readMessage(conn); err != nil {
			return
		}
		_, err := conn.Write(header)
		for ; err == nil; time.Sleep(every) {
			_, err = conn.Write(make([]byte, size))
		}
	}
}

// blackHole is a port where connections are neither taken nor refused: its queue is full.
func blackHole(t *testing.T, _ *tls.Config) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { syscall.Close(fd) })
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, syscall.Listen(fd, 0))
	name, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 10 {
		conn, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { conn.Close() })
	}
	require.Fail(t, "the queue does not fill")
	return ""
}

// muteNames is a command that runs another where the only name server is one that says nothing. It takes root and a mount
// namespace; where they cannot be had it is nil.
func muteNames(t *testing.T) []string {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.9.9.9:53")
	if err != nil {
		return nil
	}
	t.Cleanup(func() { server.Close() })
	path := filepath.Join(t.TempDir(), "resolv.conf")
	require.NoError(t, os.WriteFile(path, []byte("nameserver 127.9.9.9\noptions timeout:60\n"), 0o644))
	line := []string{"unshare", "--mount", "sh", "-c", "mount --bind " + path + ` /etc/resolv.conf && exec "$@"`, "sh"}
	if exec.Command(line[0], append(line[1:], "true")...).Run() != nil {
		return nil
	}
	return line
}

// TestTimeoutFlag: --timeout counts in place of [kmip] timeout, whether it is shorter, as for somebody at a terminal who
// would wait in vain, or longer.
func TestTimeoutFlag(t *testing.T) {
	p := newPKI(t)
	silent := secured(mute)(t, p.tlsConfig(t, p.server(t, ecKey(t), nil)))
	h := p.helper(t, silent).with(t, "timeout = 60", "connect_timeout = 60")
	o := h.run(t, h.request(t, "list_keys", nil), "--timeout", "300ms")
	requireKind(t, parse(t, o.stdout), "unavailable")

	h = helper{configs: []string{startMock(t).config}}.with(t, "timeout = 0.0001")
	requireKind(t, h.ask(t, "list_keys", nil), "unavailable")
	o = h.run(t, h.request(t, "list_keys", nil), "--timeout", patience.String())
	require.Zero(t, o.status, "%s", o.stdout)
}
