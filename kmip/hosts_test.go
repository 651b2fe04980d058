package kmip

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// refuses is a server that refuses everything but reading for a reason.
func refuses(reason ResultReason) reply {
	return otherwise(func(m *ResponseMessage) {
		for i := range m.Items {
			if !m.Items[i].Operation.SafeToRepeat() {
				m.Items[i].Status, m.Items[i].Reason, m.Items[i].Payload = StatusFailed, reason, nil
			}
		}
	})
}

// sick are servers that cannot serve, each in its own way, and whether somebody has to mend them.
var sick = map[string]struct {
	start   func(t *testing.T) *server
	mend    bool
	reached bool // a request gets there
}{
	"refuses connections": {start: dead},
	"hangs up in TLS":     {start: func(t *testing.T) *server { return listen(t, func(_ *server, conn net.Conn) { conn.Close() }) }},
	"never speaks": {start: func(t *testing.T) *server {
		return listen(t, func(_ *server, conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	}},
	"has another's certificate": {start: func(t *testing.T) *server {
		return serve(t, func(c *tls.Config) { c.Certificates = []tls.Certificate{newAuthority().server(nil)} }, ok)
	}, mend: true},
	"refuses us in TLS 1.2": {start: func(t *testing.T) *server {
		return serve(t, func(c *tls.Config) { c.MaxVersion, c.ClientCAs = tls.VersionTLS12, newAuthority().pool }, ok)
	}, mend: true},
	"refuses us in TLS 1.3": {start: func(t *testing.T) *server {
		return serve(t, func(c *tls.Config) { c.ClientCAs = newAuthority().pool }, ok)
	}, mend: true},
	"hangs up on requests": {start: func(t *testing.T) *server { return serve(t, nil, hangUp) }, reached: true},
	"talks nonsense":       {start: func(t *testing.T) *server { return serve(t, nil, raw(make([]byte, 8))) }, reached: true},
}

// A host that cannot serve is passed over, and where somebody has to mend it, that is said though another has served.
func TestSickHostsArePassedOver(t *testing.T) {
	for name, tt := range sick {
		t.Run(name, func(t *testing.T) {
			var told []string
			first, second := tt.start(t), serve(t, nil, ok)
			c := client(t, func(c *Config) {
				c.ConnectTimeout, c.MaxRetries = 2*time.Second, 0
				c.PassedOver = func(server string, err *HandshakeError) { told = append(told, server+": "+err.Error()) }
			}, first, second)
			_, err := Do(soon(t), c, get)
			require.NoError(t, err)
			require.Equal(t, second.address, c.Server())
			if require.Equal(t, tt.mend, len(told) == 1, "%q", told); tt.mend {
				require.Contains(t, told[0], first.address+": ")
				require.Contains(t, told[0], "certificate")
				require.NotContains(t, told[0], "kmip: ")
			}

			made, err := Do(soon(t), client(t, func(c *Config) { c.ConnectTimeout = 2 * time.Second }, first, second), createAES())
			if tt.reached {
				require.True(t, maybeExecuted(err), "%v", err)
			} else {
				require.NoError(t, err)
				require.Equal(t, "made", made.UniqueIdentifier)
			}
		})
	}
}

func maybeExecuted(err error) bool {
	var lost *TransportError
	var bad *BadResponseError
	return errors.As(err, &lost) && lost.MaybeExecuted || errors.As(err, &bad) && bad.MaybeExecuted
}

// Where no host serves, the error says of each why.
func TestNoHostServes(t *testing.T) {
	a, b := serve(t, nil, hangUp), dead(t)
	c := client(t, nil, a, b)
	_, err := Do(soon(t), c, get)
	require.ErrorContains(t, err, "kmip: no answer from any of the hosts: "+a.address+": the server closed the connection")
	require.ErrorContains(t, err, "; "+b.address+": ")
	require.Empty(t, c.Server(), "none in particular")
	require.Len(t, a.asked(), 3, "it is tried again, as all are")
	requireReadable(t, err)

	good := serve(t, nil, ok, hangUp)
	c = client(t, func(c *Config) { c.MaxRetries = 0 }, b, good)
	_, err = Do(soon(t), c, get)
	require.NoError(t, err)
	_, err = Do(soon(t), c, get)
	require.ErrorContains(t, err, "any of the hosts: "+good.address+": ", "it began with the host in use")
	_, err = Do(soon(t), c, get)
	require.ErrorContains(t, err, "any of the hosts: "+b.address+": ", "and then anew")
}

// A host that there was no time for is not blamed.
func TestNoTimeForTheOthers(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	first := listen(t, func(_ *server, conn net.Conn) { cancel(); _, _ = io.Copy(io.Discard, conn) })
	_, err := Do(ctx, client(t, nil, first, dead(t)), get)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "kmip: cannot reach "+first.address+": ")
}

// What may have been done is asked about where it may have been done.
func TestLostIsLookedForWhereItWasSent(t *testing.T) {
	first, second := serve(t, nil, ok, hangUp, ok), serve(t, nil, ok)
	c := client(t, nil, dead(t), first, second)
	_, err := Do(soon(t), c, get)
	require.NoError(t, err)
	_, err = Do(soon(t), c, createAES())
	require.True(t, maybeExecuted(err), "%v", err)
	_, err = Do(soon(t), c, &Locate{})
	require.NoError(t, err)
	require.Equal(t, []string{"Get 1.4", "Create 1.4", "Locate 1.4"}, first.asked())
	require.Empty(t, second.asked())
}

// A refusal of changes is taken to the next host; any other is final, and so is that of a server which takes changes.
func TestReadOnlyNodes(t *testing.T) {
	for _, tt := range []struct {
		name          string
		first, second []reply
		err           error
		asked         [2]int
	}{
		{"denied", []reply{refuses(PermissionDenied)}, []reply{ok}, nil, [2]int{1, 1}},
		{"not supported", []reply{refuses(OperationNotSupported)}, []reply{ok}, nil, [2]int{1, 1}},
		{"a bad request", []reply{refuses(InvalidField)}, []reply{ok}, InvalidField, [2]int{1, 0}},
		{"an illegal one", []reply{refuses(IllegalOperation)}, []reply{ok}, IllegalOperation, [2]int{1, 0}},
		{"for whatever reason", []reply{refuses(GeneralFailure)}, []reply{ok}, GeneralFailure, [2]int{1, 0}},
		{"not found", []reply{refuses(ItemNotFound)}, []reply{ok}, ItemNotFound, [2]int{1, 0}},
		{"denied by both", []reply{refuses(PermissionDenied)}, []reply{refuses(PermissionDenied)}, PermissionDenied, [2]int{1, 1}},
		{"denied and a bad request", []reply{refuses(PermissionDenied)}, []reply{refuses(InvalidField)}, InvalidField, [2]int{1, 1}},
		{"denied and not there", []reply{refuses(PermissionDenied)}, []reply{refuses(ItemNotFound)}, PermissionDenied, [2]int{1, 1}},
		{"denied and lost", []reply{refuses(PermissionDenied)}, []reply{hangUp}, io.EOF, [2]int{1, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			first, second := serve(t, nil, tt.first...), serve(t, nil, tt.second...)
			c := client(t, nil, first, second)
			_, err := Do(soon(t), c, createAES())
			require.ErrorIs(t, err, tt.err)
			require.Equal(t, tt.asked, [2]int{len(first.asked()), len(second.asked())})
			if errors.Is(err, PermissionDenied) {
				require.Equal(t, first.address, c.Server(), "the one that refused it")
			}
		})
	}
	t.Run("denied and unreachable", func(t *testing.T) {
		first := serve(t, nil, refuses(PermissionDenied))
		_, err := Do(soon(t), client(t, nil, first, dead(t)), createAES())
		require.ErrorIs(t, err, PermissionDenied)
		require.Len(t, first.asked(), 1, "it is final")
	})
	t.Run("the only host", func(t *testing.T) {
		s := serve(t, nil, refuses(PermissionDenied))
		c := client(t, nil, s)
		for range 2 {
			_, err := Do(soon(t), c, createAES())
			require.ErrorIs(t, err, PermissionDenied)
		}
		require.Equal(t, 1, s.connections())
	})
	t.Run("reading", func(t *testing.T) {
		first, second := serve(t, nil, otherwise(func(m *ResponseMessage) {
			m.Items[0].Status, m.Items[0].Reason, m.Items[0].Payload = StatusFailed, PermissionDenied, nil
		})), serve(t, nil, ok)
		_, err := Do(soon(t), client(t, nil, first, second), get)
		require.ErrorIs(t, err, PermissionDenied)
		require.Empty(t, second.asked())
	})
	t.Run("after a change", func(t *testing.T) {
		first, second := serve(t, nil, ok, refuses(PermissionDenied)), serve(t, nil, ok)
		c := client(t, nil, first, second)
		_, err := Do(soon(t), c, createAES())
		require.NoError(t, err)
		_, err = Do(soon(t), c, &Activate{UniqueIdentifier: "made"})
		require.ErrorIs(t, err, PermissionDenied)
		require.Empty(t, second.asked())
	})
	// One who has only read from a read-only node must still get its changes made elsewhere.
	t.Run("after a read", func(t *testing.T) {
		first, second := serve(t, nil, refuses(PermissionDenied)), serve(t, nil, ok)
		c := client(t, nil, first, second)
		_, err := Do(soon(t), c, get)
		require.NoError(t, err)
		_, err = Do(soon(t), c, createAES())
		require.NoError(t, err)
		require.Equal(t, []string{"Get 1.4", "Create 1.4"}, first.asked())
		require.Equal(t, []string{"Create 1.4"}, second.asked())
	})
	// That the host before it took changes does not make a read-only node's refusal final.
	t.Run("after a change elsewhere", func(t *testing.T) {
		first, second, third := serve(t, nil, ok), serve(t, nil, refuses(PermissionDenied)), serve(t, nil, ok)
		c := client(t, nil, first, second, third)
		_, err := Do(soon(t), c, createAES())
		require.NoError(t, err)
		first.stop()
		_, err = Do(soon(t), c, createAES())
		require.NoError(t, err)
		require.Len(t, second.asked(), 1)
		require.Equal(t, third.address, c.Server())
	})
	// A batch is final at a host that refused a part of it for what was asked: another would refuse that too.
	t.Run("for two reasons", func(t *testing.T) {
		for _, other := range []ResultReason{IllegalOperation, ItemNotFound} {
			first, second := serve(t, nil, otherwise(func(m *ResponseMessage) {
				for i, reason := range []ResultReason{PermissionDenied, other} {
					m.Items[i].Status, m.Items[i].Reason, m.Items[i].Payload = StatusFailed, reason, nil
				}
			})), serve(t, nil, ok)
			b := Batch{Continue: true}
			active, destroyed := Add(&b, &Activate{UniqueIdentifier: "8"}), Add(&b, &Destroy{UniqueIdentifier: "8"})
			require.NoError(t, client(t, nil, first, second).Run(soon(t), &b))
			require.ErrorIs(t, active.Err, PermissionDenied)
			require.ErrorIs(t, destroyed.Err, other)
			require.Empty(t, second.asked())
		}
	})
	t.Run("in part", func(t *testing.T) {
		first, second := serve(t, nil, otherwise(func(m *ResponseMessage) {
			m.Items[1].Status, m.Items[1].Reason, m.Items[1].Payload = StatusFailed, PermissionDenied, nil
		})), serve(t, nil, ok)
		var b Batch
		Add(&b, createAES())
		active := Add(&b, &Activate{})
		require.NoError(t, client(t, nil, first, second).Run(soon(t), &b))
		require.ErrorIs(t, active.Err, PermissionDenied)
		require.Empty(t, second.asked())
	})
	t.Run("a server that takes no batches", func(t *testing.T) {
		first := serve(t, nil, func(conn *tls.Conn, r *RequestMessage) bool {
			if len(r.Items) > 1 {
				return send(conn, encoded(refused(r.Header.Version, OperationNotSupported)))
			}
			return ok(conn, r)
		})
		second := serve(t, nil, ok)
		var b Batch
		Add(&b, createAES())
		active := Add(&b, &Activate{})
		require.NoError(t, client(t, nil, first, second).Run(soon(t), &b))
		require.NoError(t, active.Err)
		require.Empty(t, second.asked())
	})
}

// Each host has its part of the time, or the last would have none: a read one in as many as hosts are left, and a change
// half of it, but not at the only host.
func TestShares(t *testing.T) {
	read, change := new(Batch), new(Batch)
	Add(read, get)
	Add(change, createAES())
	const none, third, half, whole = 0, time.Hour / 3, time.Hour / 2, time.Hour
	for _, tt := range []struct {
		name          string
		batch         *Batch
		hosts, left   int
		share, dialed time.Duration
	}{
		{"a read", read, 3, 3, third, third},
		{"a read at the last host", read, 3, 1, whole, none},
		{"a read at the only host", read, 1, 1, whole, none},
		{"a change", change, 3, 3, half, third},
		{"a change at the last host", change, 3, 1, half, none},
		{"a change at the only host", change, 1, 1, whole, none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := NewClient(Config{Hosts: make([]string, tt.hosts)})
			near := func(want time.Duration, deadline time.Time) {
				require.InDelta(t, want.Minutes(), time.Until(deadline).Minutes(), 5)
			}
			tried := 0
			try := func(ctx context.Context) (*ResponseMessage, error) {
				tried++
				deadline, bounded := ctx.Deadline()
				require.True(t, bounded)
				near(tt.share, deadline)
				if tt.dialed == none {
					require.Zero(t, c.hosts.connectBy)
				} else {
					near(tt.dialed, c.hosts.connectBy)
				}
				return nil, ctx.Err()
			}
			ctx, cancel := context.WithTimeout(t.Context(), whole)
			defer cancel()
			c.hosts.connectBy = time.Now()
			_, err := c.share(ctx, tt.batch, tt.left, try)
			require.NoError(t, err)

			c.hosts.connectBy = time.Now()
			_, err = c.share(t.Context(), tt.batch, tt.left, func(ctx context.Context) (*ResponseMessage, error) {
				tried++
				_, bounded := ctx.Deadline()
				require.False(t, bounded || !c.hosts.connectBy.IsZero(), "without a deadline there is nothing to share")
				return nil, ctx.Err()
			})
			require.NoError(t, err)
			require.Equal(t, 2, tried)
		})
	}
}

// Whether all the other hosts were asked decides whether an object is gone or only out of reach: none is forgotten.
func TestElsewhere(t *testing.T) {
	for _, tt := range []struct {
		name    string
		hosts   string // after the first: up (u), down (d) or the one that knows (k)
		missed  bool
		at, ask int
	}{
		{"all up", "uu", false, 0, 2},
		{"one down", "du", true, 0, 1},
		{"the last down", "ud", true, 0, 1},
		{"all down", "dd", true, 0, 0},
		{"one knows", "uk", false, 2, 2},
		{"one knows, behind one that is down", "dk", false, 2, 1},
		{"no others", "", false, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			servers := []*server{serve(t, nil, ok)}
			for _, letter := range tt.hosts {
				if letter == 'd' {
					servers = append(servers, dead(t))
				} else {
					servers = append(servers, serve(t, nil, ok))
				}
			}
			c := client(t, nil, servers...)
			_, err := Do(soon(t), c, get)
			require.NoError(t, err)
			asked := 0
			missed := c.Elsewhere(soon(t), func(ctx context.Context) bool {
				asked++
				_, err := Do(ctx, c, get)
				require.NoError(t, err)
				require.Equal(t, servers[c.hosts.current].address, c.Server())
				return tt.hosts[c.hosts.current-1] == 'k'
			})
			require.Equal(t, tt.missed, missed)
			require.Equal(t, tt.ask, asked)
			require.Equal(t, servers[tt.at].address, c.Server())
			_, err = Do(soon(t), c, get)
			require.NoError(t, err)
			require.Equal(t, servers[tt.at].address, c.Server())
		})
	}
}

// While the other hosts are asked, no answer of one is taken for another's, and then the client may go anywhere again. One
// that is pinned to a host does not leave it.
func TestElsewhereAsksEachAlone(t *testing.T) {
	first, second, third := serve(t, nil, ok), serve(t, nil, hangUp), serve(t, nil, ok)
	c := client(t, func(c *Config) { c.MaxRetries = 0 }, first, second, third)
	_, err := Do(soon(t), c, get)
	require.NoError(t, err)
	var errs []error
	require.False(t, c.Elsewhere(soon(t), func(ctx context.Context) bool {
		_, err := Do(ctx, c, get)
		errs = append(errs, err)
		return false
	}))
	require.Len(t, errs, 2)
	require.ErrorContains(t, errs[0], "no answer from "+second.address)
	require.NoError(t, errs[1])
	require.Len(t, third.asked(), 1)

	first.stop()
	_, err = Do(soon(t), c, get)
	require.NoError(t, err, "it is not kept to one")
	require.Equal(t, third.address, c.Server())
	c.Pin(true)
	require.True(t, c.Elsewhere(soon(t), func(context.Context) bool { t.Error("another was asked"); return true }))
	require.Equal(t, third.address, c.Server())
	require.True(t, c.Pin(false))
}

// A host that takes all the time it is given leaves enough for the next.
func TestTimeIsShared(t *testing.T) {
	mute := listen(t, func(_ *server, conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	for name, tt := range map[string]struct {
		first *server
		do    func(context.Context, *Client) error
	}{
		"a connection":         {mute, func(ctx context.Context, c *Client) error { _, err := Do(ctx, c, createAES()); return err }},
		"a read":               {serve(t, nil, silent), func(ctx context.Context, c *Client) error { _, err := Do(ctx, c, get); return err }},
		"versions to be found": {serve(t, nil, speaks(InvalidMessage, silent, V1_0)), func(ctx context.Context, c *Client) error { _, err := Do(ctx, c, get); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			second := serve(t, nil, ok)
			c := client(t, func(c *Config) { c.ConnectTimeout = time.Hour }, tt.first, second)
			require.NoError(t, tt.do(ctx, c))
			require.Equal(t, second.address, c.Server())
		})
	}
}

// In a session the client goes back to a better host that has come up, and does not wait for it.
func TestFailBack(t *testing.T) {
	back, first, second := make(chan struct{}), (*server)(nil), serve(t, nil, ok)
	first = listen(t, func(s *server, conn net.Conn) {
		select {
		case <-back:
			s.script = []reply{ok}
			s.talk(tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{pki().serverCert}}))
		default:
			conn.Close()
		}
	})
	c := client(t, nil, first, second)
	do := func() string {
		c.FailBack()
		_, err := Do(soon(t), c, get)
		require.NoError(t, err)
		return c.Server()
	}
	for range 3 {
		require.Equal(t, second.address, do())
	}
	require.Equal(t, 1, first.connections(), "not tried by every request")

	c.hosts.moved = time.Time{}
	require.Equal(t, second.address, do(), "it looks")
	require.Eventually(t, func() bool { return len(c.hosts.dialing) == 1 }, 10*time.Second, time.Millisecond)
	require.Equal(t, second.address, do(), "and it is not back")
	require.Equal(t, 2, first.connections())
	require.Nil(t, c.hosts.dialing)

	close(back)
	c.hosts.moved = time.Time{}
	require.Equal(t, second.address, do())
	require.Eventually(t, func() bool { return len(c.hosts.dialing) == 1 }, 10*time.Second, time.Millisecond)
	for range 3 {
		require.Equal(t, first.address, do())
	}
	require.Equal(t, 3, first.connections())
	require.Equal(t, 1, second.connections())
}

// A client that has got back to a host by itself does not leave it for what a look found meanwhile, which may be worse.
func TestLookComesTooLate(t *testing.T) {
	for found, name := range []string{"the same host", "a worse one"} {
		t.Run(name, func(t *testing.T) {
			servers := []*server{serve(t, nil, ok), serve(t, nil, ok)}
			c := client(t, nil, servers...)
			_, err := Do(soon(t), c, get)
			require.NoError(t, err)
			conn, err := c.config.dial(soon(t), servers[found].address, time.Time{})
			require.NoError(t, err)
			before := c.conn
			c.hosts.stop, c.hosts.dialing = func() {}, make(chan dialed, 1)
			c.hosts.dialing <- dialed{host: found, conn: conn}
			c.FailBack()
			require.Nil(t, c.hosts.dialing)
			_, err = Do(soon(t), c, get)
			require.NoError(t, err)
			require.Same(t, before, c.conn)
			require.Len(t, servers[0].asked(), 2)
			_, err = conn.NetConn().Write([]byte{0})
			require.ErrorIs(t, err, net.ErrClosed, "the other connection is not left open")
		})
	}
}

// A look that is under way ends with the client, whatever the host does.
func TestReturnEndsWithTheClient(t *testing.T) {
	c := client(t, func(c *Config) { c.ConnectTimeout = time.Hour }, dead(t), serve(t, nil, ok))
	_, err := Do(soon(t), c, get)
	require.NoError(t, err)
	mute := listen(t, func(_ *server, conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	c.config.Hosts[0], c.hosts.moved = mute.address, time.Time{}
	c.FailBack()
	require.Eventually(t, func() bool { return mute.connections() == 1 }, 10*time.Second, time.Millisecond)
	require.NoError(t, c.Close())
}

// A host that came back with a certificate that is no good is told of.
func TestFailBackReportsABadCertificate(t *testing.T) {
	var told []string
	wrong := serve(t, func(c *tls.Config) { c.Certificates = []tls.Certificate{newAuthority().server(nil)} }, ok)
	c := client(t, func(c *Config) { c.PassedOver = func(server string, _ *HandshakeError) { told = append(told, server) } }, dead(t), serve(t, nil, ok))
	_, err := Do(soon(t), c, get)
	require.NoError(t, err)
	require.Empty(t, told, "a host that is down may come up by itself")
	c.config.Hosts[0], c.hosts.moved = wrong.address, time.Time{}
	c.FailBack()
	require.Eventually(t, func() bool { return len(c.hosts.dialing) == 1 }, 10*time.Second, time.Millisecond)
	c.FailBack()
	require.Equal(t, []string{wrong.address}, told)
}

// What a server said before it hung up is heard though nothing can be written any more; on a connection that has served,
// the same words do not tell that nothing was executed.
func TestLastWords(t *testing.T) {
	stranger := newAuthority().issue(&x509.Certificate{Subject: pkix.Name{CommonName: "stranger"}})
	c := client(t, func(c *Config) { c.TLS.Certificate = stranger }, serve(t, nil, ok))
	err := c.connect(soon(t))
	require.NoError(t, err, "TLS 1.3 tells a client nothing in the handshake")
	require.Eventually(t, func() bool { _, err = c.conn.Write([]byte{0}); return err != nil }, 10*time.Second, time.Millisecond)
	_, err = c.lastWords(err)
	require.ErrorContains(t, err, "unknown certificate authority")
	var lost *TransportError
	require.ErrorAs(t, c.lost(soon(t), err), &lost)
	require.False(t, lost.Sent)
	c.fresh = false
	require.ErrorAs(t, c.lost(soon(t), err), &lost)
	require.True(t, lost.Sent)
}

// TestRefusedBeforeItWasRead has a server refuse a request that is too long for it, and hang up before it has read it all: that
// is no request that may have been carried out.
func TestRefusedBeforeItWasRead(t *testing.T) {
	p := pki()
	s := listen(t, func(_ *server, raw net.Conn) {
		defer raw.Close()
		conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{p.serverCert}, ClientCAs: p.pool, ClientAuth: tls.RequireAndVerifyClientCert})
		if _, err := conn.Read(make([]byte, 8)); err == nil {
			send(conn, encoded(refused(V1_4, InvalidMessage)))
		}
	})
	_, err := Do(soon(t), client(t, nil, s), &Register{Object: rawKey(make([]byte, 12<<20)...)})
	require.ErrorIs(t, err, InvalidMessage)
	require.Equal(t, 1, s.connections())
}

// TestStaysWithTheRefuser has the only host that is there be read-only. The next request begins with it.
func TestStaysWithTheRefuser(t *testing.T) {
	s := serve(t, nil, otherwise(func(m *ResponseMessage) {
		m.Items[0].Status, m.Items[0].Reason, m.Items[0].Payload = StatusFailed, PermissionDenied, nil
	}))
	c := client(t, func(c *Config) { c.Hosts = []string{"127.0.0.1:1", c.Hosts[0]} }, s)
	_, err := Do(soon(t), c, &Create{ObjectType: SymmetricKeyObject})
	require.ErrorIs(t, err, PermissionDenied)
	require.Equal(t, s.address, c.config.Hosts[c.hosts.current])
}
