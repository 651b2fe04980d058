package kmip

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var get = &Get{UniqueIdentifier: "8"}

func TestDo(t *testing.T) {
	s := serve(t, nil, ok)
	c := client(t, nil, s)
	require.Empty(t, c.Server())
	for range 3 {
		got, err := Do(soon(t), c, get)
		require.NoError(t, err)
		require.Equal(t, "8", got.UniqueIdentifier)
	}
	require.Equal(t, []string{"Get 1.4", "Get 1.4", "Get 1.4"}, s.asked(), "one round trip each")
	require.Equal(t, 1, s.connections())
	require.Equal(t, s.address, c.Server())
	require.Equal(t, V1_4, c.Version())
}

// requireReadable holds an error's text to the house's form: one line that names the package once, in front.
func requireReadable(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	require.NotContains(t, text, "\n")
	require.True(t, strings.HasPrefix(text, "kmip: "), text)
	require.Equal(t, 1, strings.Count(text, "kmip: "), text)
	require.NotContains(t, text, "ttlv: ttlv: ")
}

// A reply that is not the answer to what was asked is never used.
func TestBadResponses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		reply reply
		err   string
	}{
		{"another operation", otherwise(func(m *ResponseMessage) {
			m.Items[0].Operation, m.Items[0].Payload = OpDestroy, &DestroyResponse{"8"}
		}), "an answer to Destroy for "},
		{"no operation", otherwise(func(m *ResponseMessage) { m.Items[0].Operation, m.Items[0].Payload = 0, nil }), "an answer to 0x00000000 for "},
		{"two items", otherwise(func(m *ResponseMessage) { m.Items = append(m.Items, m.Items[0]) }), "2 batch items for 1"},
		{"no items", otherwise(func(m *ResponseMessage) { m.Items = nil }), "0 batch items for 1"},
		{"pending", otherwise(func(m *ResponseMessage) { m.Items[0].Status = StatusPending }), "result status 0x2 for "},
		{"success without a payload", otherwise(func(m *ResponseMessage) { m.Items[0].Payload = nil }), "ttlv: Response Payload at offset"},
		{"garbage", raw([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")), "a message should start with Response Message"},
		{"a request", raw([]byte{0x42, 0, 0x78, 1, 0, 0, 0, 0}), "ttlv: Request Message at offset 0: a message should start with Response Message"},
		{"oversized", raw([]byte{0x42, 0, 0x7B, 1, 0xFF, 0xFF, 0xFF, 0xF8}), "length 4294967288 is over the limit of 4194304 bytes"},
		{"empty message", raw([]byte{0x42, 0, 0x7B, 1, 0, 0, 0, 0}), "ttlv: Response Header at offset 8: missing"},
		{"bad padding", patched(39, 1), "padding that is not zero"},
		{"a version nobody speaks", patched(35, 9), "no version 9.4 here"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, nil, tt.reply)
			c := client(t, nil, s)
			_, err := Do(soon(t), c, get)
			var bad *BadResponseError
			require.ErrorAs(t, err, &bad)
			require.ErrorContains(t, err, tt.err)
			require.Equal(t, s.address, bad.Server)
			require.False(t, bad.MaybeExecuted, "a Get changes nothing")
			requireReadable(t, err)

			_, err = Do(soon(t), c, createAES())
			require.ErrorAs(t, err, &bad)
			require.True(t, bad.MaybeExecuted)
			require.Len(t, s.asked(), 3+1, "the Create is not tried again")
			require.Equal(t, 3+1, s.connections(), "nor the connection used again")
		})
	}
}

// What comes behind a bad response may be the answer to what was asked before: it is never taken for the next request's.
func TestBadConnectionIsLeft(t *testing.T) {
	for name, bad := range map[string]reply{
		"of another kind": raw([]byte{0x42, 0, 0x78, 1, 0, 0, 0, 0}),
		"malformed":       patched(39, 1),
		"of too many":     otherwise(func(m *ResponseMessage) { m.Items = append(m.Items, m.Items[0]) }),
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, nil, bad, ok)
			c := client(t, nil, s)
			_, err := Do(soon(t), c, createAES())
			var e *BadResponseError
			require.ErrorAs(t, err, &e)
			_, err = Do(soon(t), c, get)
			require.NoError(t, err)
			require.Equal(t, []string{"Create 1.4", "Get 1.4"}, s.asked())
			require.Equal(t, 2, s.connections())
		})
	}
}

func TestAnswerAboutAnotherObject(t *testing.T) {
	for name, id := range map[string]string{"another": "9", "none": ""} {
		t.Run(name, func(t *testing.T) {
			c := client(t, nil, serve(t, nil, otherwise(func(m *ResponseMessage) { m.Items[0].Payload.(*GetResponse).UniqueIdentifier = id })))
			_, err := Do(soon(t), c, get)
			require.ErrorContains(t, err, `the answer to Get of "8" is about another object`)
			requireReadable(t, err)
		})
	}
}

// A reply that does not come, or not whole, is a lost answer.
func TestLostReplies(t *testing.T) {
	header := []byte{0x42, 0, 0x7B, 1, 0, 0x3F, 0xFF, 0xF0}
	for _, tt := range []struct {
		name    string
		reply   reply
		timeout time.Duration
		err     error
	}{
		{"closed at once", hangUp, time.Minute, nil},
		{"cut short", cut(1, hangUp), time.Minute, nil},
		{"a header alone", func(conn *tls.Conn, r *RequestMessage) bool { return send(conn, header) && hangUp(conn, r) }, time.Minute, nil},
		{"silence", silent, 100 * time.Millisecond, context.DeadlineExceeded},
		{"stopped midway", cut(1, silent), 100 * time.Millisecond, context.DeadlineExceeded},
		{"a length without bytes", func(conn *tls.Conn, r *RequestMessage) bool { return send(conn, header) && silent(conn, r) }, 100 * time.Millisecond, context.DeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, nil, tt.reply)
			c := client(t, nil, s)
			ctx, cancel := context.WithTimeout(t.Context(), tt.timeout)
			defer cancel()
			_, err := Do(ctx, c, createAES())
			var lost *TransportError
			require.ErrorAs(t, err, &lost)
			require.True(t, lost.Sent && lost.MaybeExecuted)
			require.Len(t, s.asked(), 1, "a Create is not sent again")
			if tt.err != nil {
				require.ErrorIs(t, err, tt.err)
				require.ErrorContains(t, err, "no answer in time")
			} else {
				require.ErrorContains(t, err, "the server closed the connection")
			}
			requireReadable(t, err)
		})
	}
}

func TestEndlessReplyIsNotSwallowed(t *testing.T) {
	endless := func(conn *tls.Conn, _ *RequestMessage) bool {
		for send(conn, bytes.Repeat([]byte{0x42, 0, 0x7B, 1, 0, 0, 0, 0}, 1000)) {
		}
		return false
	}
	_, err := Do(soon(t), client(t, nil, serve(t, nil, endless)), get)
	var bad *BadResponseError
	require.ErrorAs(t, err, &bad)
}

// Whether something may be sent again follows from two facts: did a byte leave, and is the operation safe to repeat.
func TestRetries(t *testing.T) {
	do := map[string]func(context.Context, *Client) error{
		"Get":    func(ctx context.Context, c *Client) error { _, err := Do(ctx, c, get); return err },
		"Create": func(ctx context.Context, c *Client) error { _, err := Do(ctx, c, createAES()); return err },
	}
	for _, tt := range []struct {
		name, operation string
		script          []reply
		requests        int
		fails           bool
	}{
		{"a safe operation is repeated", "Get", []reply{hangUp, cut(3, hangUp), ok}, 3, false},
		{"but not for ever", "Get", []reply{hangUp}, 3, true},
		{"an unsafe one is not", "Create", []reply{hangUp, ok}, 1, true},
		{"a refusal is an answer", "Get", []reply{otherwise(func(m *ResponseMessage) {
			m.Items[0].Status, m.Items[0].Reason, m.Items[0].Payload = StatusFailed, PermissionDenied, nil
		}), ok}, 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, nil, tt.script...)
			err := do[tt.operation](soon(t), client(t, nil, s))
			require.Equal(t, tt.fails, err != nil, "%v", err)
			require.Len(t, s.asked(), tt.requests)
		})
	}
}

// What was not sent is sent again, whatever it is.
func TestUnsentIsRetried(t *testing.T) {
	good := serve(t, nil, ok)
	deaf := listen(t, func(s *server, conn net.Conn) {
		if conn.Close(); s.connections() == 2 {
			s.listener.Close()
		}
	})
	c := client(t, nil, deaf, good)
	c.config.Hosts = []string{deaf.address}
	_, err := Do(soon(t), c, createAES())
	var lost *TransportError
	require.ErrorAs(t, err, &lost)
	require.False(t, lost.Sent || lost.MaybeExecuted)
	require.GreaterOrEqual(t, deaf.connections(), 2)
	requireReadable(t, err)

	fickle := listen(t, func(s *server, conn net.Conn) {
		if s.connections() < 3 {
			conn.Close()
			return
		}
		s.script = []reply{ok}
		s.talk(tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{pki().serverCert}}))
	})
	made, err := Do(soon(t), client(t, nil, fickle), createAES())
	require.NoError(t, err)
	require.Equal(t, "made", made.UniqueIdentifier)
	require.Equal(t, []string{"Create 1.4"}, fickle.asked())
}

// dead is a server that is not there.
func dead(t *testing.T) *server {
	s := serve(t, nil, ok)
	s.stop()
	return s
}

func TestHostsAreTriedInOrder(t *testing.T) {
	first, second := serve(t, nil, ok), serve(t, nil, ok)
	_, err := Do(soon(t), client(t, nil, first, second), get)
	require.NoError(t, err)
	require.Len(t, first.asked(), 1)
	require.Empty(t, second.asked())

	c := client(t, nil, dead(t), second)
	_, err = Do(soon(t), c, get)
	require.NoError(t, err)
	require.Equal(t, second.address, c.Server())

	a, b := dead(t), dead(t)
	_, err = Do(soon(t), client(t, nil, a, b), get)
	require.ErrorContains(t, err, "kmip: cannot reach any of the hosts: "+a.address+": ")
	require.ErrorContains(t, err, "; "+b.address+": ")
	requireReadable(t, err)

	_, err = Do(soon(t), client(t, nil), get)
	require.EqualError(t, err, "kmip: cannot reach any of the hosts: there are none")
}

// Where one host's certificate is no good and another is down for a while, trying again makes sense.
func TestOneBadHostDoesNotEndRetries(t *testing.T) {
	wrong := serve(t, func(c *tls.Config) { c.Certificates = []tls.Certificate{newAuthority().server(nil)} }, ok)
	_, err := Do(soon(t), client(t, nil, wrong, dead(t)), get)
	require.Error(t, err)
	require.Equal(t, 3, wrong.connections())
	_, err = Do(soon(t), client(t, nil, wrong), get)
	require.Error(t, err)
	require.Equal(t, 4, wrong.connections(), "alone, it is final")
}

// What was learnt about one host is not held against the next.
func TestFailoverForgetsTheVersion(t *testing.T) {
	first := serve(t, nil, ok)
	second := serve(t, nil, speaks(InvalidMessage, lists(V1_1, V1_0), V1_0, V1_1))
	c := client(t, nil, first, second)
	_, err := Do(soon(t), c, get)
	require.NoError(t, err)
	require.Equal(t, V1_4, c.Version())
	first.stop()
	_, err = Do(soon(t), c, get)
	require.NoError(t, err)
	require.Equal(t, V1_1, c.Version())
	require.Equal(t, []string{"Get 1.4", "DiscoverVersions 1.1", "Get 1.1"}, second.asked())

	third := serve(t, nil, ok)
	c = client(t, nil, second, third)
	_, err = Do(soon(t), c, get)
	require.NoError(t, err)
	require.Equal(t, V1_1, c.Version())
	second.stop()
	_, err = Do(soon(t), c, get)
	require.NoError(t, err)
	require.Equal(t, []string{"Get 1.4"}, third.asked(), "nor is it kept to the old host's version")
}

// unbatched is a server that refuses batches for a reason.
func unbatched(reason ResultReason) reply {
	return func(conn *tls.Conn, r *RequestMessage) bool {
		if len(r.Items) > 1 {
			return send(conn, encoded(refused(r.Header.Version, reason)))
		}
		return ok(conn, r)
	}
}

// That one host takes no batches does not make everything slower at the next.
func TestFailoverForgetsSingle(t *testing.T) {
	first, second := serve(t, nil, unbatched(FeatureNotSupported)), serve(t, nil, ok)
	c := client(t, nil, first, second)
	for range 2 {
		var b Batch
		Add(&b, get)
		Add(&b, get)
		require.NoError(t, c.Run(soon(t), &b))
	}
	require.Equal(t, []string{"Get Get 1.4", "Get 1.4", "Get 1.4", "Get 1.4", "Get 1.4"}, first.asked(), "it learns")
	first.stop()
	_, err := Do(soon(t), c, get)
	require.NoError(t, err)
	var b Batch
	Add(&b, get)
	Add(&b, get)
	require.NoError(t, c.Run(soon(t), &b))
	require.Equal(t, []string{"Get 1.4", "Get Get 1.4"}, second.asked())
}

// A connection that the server left while it was idle is noticed before anything is written to it.
func TestIdleHangUpIsNoticed(t *testing.T) {
	twice := func(conn *tls.Conn, request *RequestMessage) bool {
		b := encoded(done(request))
		return send(conn, append(b, b...))
	}
	for name, first := range map[string]reply{
		"closed":       cut(0, hangUp),
		"close_notify": cut(0, func(conn *tls.Conn, r *RequestMessage) bool { return conn.CloseWrite() == nil && silent(conn, r) }),
		"reset": cut(0, func(conn *tls.Conn, _ *RequestMessage) bool {
			conn.NetConn().(*net.TCPConn).SetLinger(0)
			conn.NetConn().Close()
			return false
		}),
		"one too many":    twice,
		"another unasked": func(conn *tls.Conn, r *RequestMessage) bool { return ok(conn, r) && send(conn, encoded(done(r))) },
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, nil, first, ok)
			c := client(t, nil, s)
			_, err := Do(soon(t), c, createAES())
			require.NoError(t, err)
			require.Eventually(t, func() bool { return hungUp(c.conn) }, 10*time.Second, time.Millisecond)
			_, err = Do(soon(t), c, createAES())
			require.NoError(t, err)
			require.Len(t, s.asked(), 2)
			require.Equal(t, 2, s.connections())
		})
	}
	t.Run("still there", func(t *testing.T) {
		s := serve(t, nil, ok)
		c := client(t, nil, s)
		_, err := Do(soon(t), c, get)
		require.NoError(t, err)
		for range 10 {
			require.False(t, hungUp(c.conn))
		}
		_, err = Do(soon(t), c, get)
		require.NoError(t, err)
		require.Equal(t, 1, s.connections())
	})
}

// TestSessionTickets: servers send some after the handshake, and a connection that was made in the background would never be
// used.
func TestSessionTickets(t *testing.T) {
	s := serve(t, nil, ok)
	c := client(t, nil, s)
	config := c.config.TLS.config("127.0.0.1")
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1) // Go's server sends tickets only to who has use for them
	raw, err := net.Dial("tcp", s.address)
	require.NoError(t, err)
	conn := tls.Client(newWire(raw), config)
	require.NoError(t, conn.Handshake())
	require.Eventually(t, func() bool { return !quiet(conn.NetConn().(*wire)) }, 10*time.Second, time.Millisecond)
	c.adopt(conn, s.address)
	_, err = Do(soon(t), c, get)
	require.NoError(t, err)
	require.True(t, conn == c.conn, "another connection is used")
	require.Equal(t, 1, s.connections())
}

// TestLeftConnectionIsClosed: a session whose server hangs up on it now and then would run out of sockets.
func TestLeftConnectionIsClosed(t *testing.T) {
	s := serve(t, nil, func(conn *tls.Conn, request *RequestMessage) bool { ok(conn, request); return false })
	c := client(t, nil, s)
	_, err := Do(soon(t), c, get)
	require.NoError(t, err)
	left := c.conn
	require.Eventually(t, func() bool { return hungUp(left) }, 10*time.Second, time.Millisecond)
	_, err = Do(soon(t), c, get)
	require.NoError(t, err)
	require.ErrorIs(t, left.NetConn().SetDeadline(time.Time{}), net.ErrClosed)
}

// TestOlderServerLater: a session would fail for ever once another server, of an older version, has the address.
func TestOlderServerLater(t *testing.T) {
	s := serve(t, nil, func(conn *tls.Conn, request *RequestMessage) bool { ok(conn, request); return false },
		speaks(InvalidMessage, lists(V1_2), V1_2))
	c := client(t, nil, s)
	for _, version := range []Version{Versions()[0], V1_2} {
		_, err := Do(soon(t), c, get)
		require.NoError(t, err)
		require.Equal(t, version, c.Version())
		require.Eventually(t, func() bool { return version == V1_2 || hungUp(c.conn) }, 10*time.Second, time.Millisecond)
	}
}

// Nothing lasts longer than its context, nor a connection's beginning longer than its timeout.
func TestDeadlines(t *testing.T) {
	mute := listen(t, func(_ *server, conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	short := func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(t.Context(), 50*time.Millisecond)
	}
	for name, change := range map[string]func(*Config){
		"no answer in time":                         nil,
		"no answer within connect_timeout (0.05 s)": func(c *Config) { c.ConnectTimeout, c.MaxRetries = 50*time.Millisecond, 0 },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := soon(t), context.CancelFunc(func() {})
			if change == nil {
				ctx, cancel = short()
			}
			defer cancel()
			start := time.Now()
			_, err := Do(ctx, client(t, change, mute), createAES())
			var lost *TransportError
			require.ErrorAs(t, err, &lost)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, name)
			require.False(t, lost.Sent || lost.MaybeExecuted)
			require.Less(t, time.Since(start), 10*time.Second)
			requireReadable(t, err)
		})
	}
	t.Run("cancelled during the handshake", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := listen(t, func(_ *server, conn net.Conn) {
			cancel()
			_, _ = io.Copy(io.Discard, conn)
		})
		_, err := Do(ctx, client(t, nil, s), get)
		require.ErrorIs(t, err, context.Canceled)
	})
	t.Run("cancelled while waiting", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := serve(t, nil, func(conn *tls.Conn, r *RequestMessage) bool { cancel(); return silent(conn, r) })
		_, err := Do(ctx, client(t, nil, s), get)
		require.ErrorIs(t, err, context.Canceled)
	})
	t.Run("over before it began", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s := serve(t, nil, ok)
		_, err := Do(ctx, client(t, nil, s), get)
		require.ErrorIs(t, err, context.Canceled)
		require.Empty(t, s.asked())
	})
}

func TestVersionsAreFound(t *testing.T) {
	refusal := otherwise(func(m *ResponseMessage) {
		m.Items[0].Status, m.Items[0].Reason, m.Items[0].Payload = StatusFailed, OperationNotSupported, nil
	})
	for _, tt := range []struct {
		name  string
		reply reply
		want  Version
		asked []string
	}{
		{"the first guess", ok, V1_4, []string{"Get 1.4"}},
		{"as PyKMIP refuses", speaks(InvalidMessage, lists(V1_2, V1_1, V1_0), V1_0, V1_1, V1_2), V1_2, []string{"Get 1.4", "DiscoverVersions 1.1", "Get 1.2"}},
		{"by the reason", speaks(UnsupportedProtocolVersion, lists(V2_0, V2_1), V2_0, V2_1), V2_1, []string{"Get 1.4", "DiscoverVersions 2.0", "Get 2.1"}},
		{"without Discover Versions", speaks(InvalidMessage, refusal, V1_1), V1_1, []string{"Get 1.4", "DiscoverVersions 1.1", "Get 1.3", "Get 1.2", "Get 1.1"}},
		{"hanging up on Discover Versions", speaks(InvalidMessage, hangUp, V1_3), V1_3, []string{"Get 1.4", "DiscoverVersions 1.3", "Get 1.3"}},
		{"nonsense to Discover Versions", speaks(InvalidMessage, raw(make([]byte, 8)), V1_3), V1_3, []string{"Get 1.4", "DiscoverVersions 1.3", "Get 1.3"}},
		{"nothing to Discover Versions", speaks(InvalidMessage, lists(), V1_3), V1_3, []string{"Get 1.4", "DiscoverVersions 1.3", "Get 1.3"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, nil, tt.reply)
			c := client(t, nil, s)
			_, err := Do(soon(t), c, get)
			require.NoError(t, err)
			require.Equal(t, tt.want, c.Version())
			require.Equal(t, tt.asked, s.asked())
			_, err = Do(soon(t), c, get)
			require.NoError(t, err)
			require.Len(t, s.asked(), len(tt.asked)+1, "once found, it is not asked again")
		})
	}
}

func TestVersionsThatCannotBeFound(t *testing.T) {
	t.Run("none in common", func(t *testing.T) {
		_, err := Do(soon(t), client(t, nil, serve(t, nil, speaks(UnsupportedProtocolVersion, lists(0x0300, 0x0301), V1_0))), get)
		var v *VersionError
		require.ErrorAs(t, err, &v)
		require.ErrorContains(t, err, "speaks KMIP [3.0 3.1] and not [1.4 1.3 1.2 1.1 1.0 2.1 2.0]")
		requireReadable(t, err)
	})
	t.Run("configured", func(t *testing.T) {
		s := serve(t, nil, speaks(InvalidMessage, nil, V1_0))
		_, err := Do(soon(t), client(t, func(c *Config) { c.Version = V1_2 }, s), get)
		var v *VersionError
		require.ErrorAs(t, err, &v)
		require.ErrorContains(t, err, "speaks KMIP [1.0] and not [1.2]")
		require.ErrorIs(t, err, InvalidMessage)
		require.Equal(t, []string{"Get 1.2", "DiscoverVersions 1.1"}, s.asked(), "no other version is tried")
	})
	t.Run("configured, and what the server says of its versions is lost", func(t *testing.T) {
		configured := func(c *Config) { c.Version = V1_2 }
		_, err := Do(soon(t), client(t, configured, serve(t, nil, speaks(InvalidMessage, hangUp, V1_0))), get)
		require.ErrorIs(t, err, InvalidMessage)
		require.NotContains(t, err.Error(), "speaks", "it may as well be about the message")
		_, err = Do(soon(t), client(t, configured, serve(t, nil, speaks(UnsupportedProtocolVersion, hangUp, V1_0))), get)
		require.ErrorContains(t, err, "speaks KMIP [1.0] and not [1.2]")
	})
	t.Run("configured, and the server says which it speaks", func(t *testing.T) {
		s := serve(t, nil, speaks(InvalidMessage, lists(V1_1, V1_0), V1_0, V1_1))
		_, err := Do(soon(t), client(t, func(c *Config) { c.Version = V1_2 }, s), get)
		require.ErrorContains(t, err, "speaks KMIP [1.1 1.0] and not [1.2]")
		requireReadable(t, err)
	})
	t.Run("a bad message in the right version", func(t *testing.T) {
		s := serve(t, nil, func(conn *tls.Conn, r *RequestMessage) bool {
			return send(conn, encoded(refused(r.Header.Version, InvalidMessage)))
		})
		_, err := Do(soon(t), client(t, nil, s), get)
		require.ErrorIs(t, err, InvalidMessage)
		require.Len(t, s.asked(), 1)
	})
}

func TestBatch(t *testing.T) {
	failing := func(at int) reply {
		return otherwise(func(m *ResponseMessage) {
			m.Items = m.Items[:at+1]
			m.Items[at].Status, m.Items[at].Reason, m.Items[at].Payload = StatusFailed, PermissionDenied, nil
		})
	}
	whole, singly := "Create Activate GetAttributes 1.4", []string{"Create 1.4", "Activate 1.4", "GetAttributes 1.4"}
	for _, tt := range []struct {
		name   string
		script []reply
		asked  []string
		errs   [3]error
	}{
		{"in one", []reply{ok}, []string{whole}, [3]error{}},
		{"the last fails", []reply{failing(2)}, []string{whole}, [3]error{nil, nil, PermissionDenied}},
		{"the first fails", []reply{failing(0)}, []string{whole}, [3]error{PermissionDenied, ErrNotRun, ErrNotRun}},
		{"one by one", []reply{unbatched(FeatureNotSupported)}, append([]string{whole}, singly...), [3]error{}},
		{"one by one, each refused", []reply{batchesRefused(allRefused)}, append([]string{whole}, singly...), [3]error{}},
		{"one by one, the first refused", []reply{batchesRefused(firstRefused)}, append([]string{whole}, singly...), [3]error{}},
		{"none of them, each refused", []reply{allRefused}, []string{whole, singly[0]}, [3]error{FeatureNotSupported, ErrNotRun, ErrNotRun}},
		{"one by one, one fails", []reply{unbatched(OperationNotSupported), ok, failing(0)}, append([]string{whole}, singly[:2]...), [3]error{nil, PermissionDenied, ErrNotRun}},
		{
			"only the first was done",
			[]reply{otherwise(func(m *ResponseMessage) { m.Items = m.Items[:1] }), ok},
			append([]string{whole}, singly[1:]...),
			[3]error{},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b Batch
			create, activate, attributes := Add(&b, createAES()), Add(&b, new(Activate)), Add(&b, new(GetAttributes))
			s := serve(t, nil, tt.script...)
			require.NoError(t, client(t, nil, s).Run(soon(t), &b))
			require.Equal(t, tt.asked, s.asked())
			for i, err := range []error{create.Err, activate.Err, attributes.Err} {
				require.ErrorIs(t, err, tt.errs[i], "operation %d", i)
			}
			if tt.errs[2] == nil {
				require.Equal(t, "made", attributes.Response.UniqueIdentifier)
			}
		})
	}
}

// batchesRefused answers single operations, and refuses several in the way given.
func batchesRefused(refuse reply) reply {
	return func(conn *tls.Conn, r *RequestMessage) bool {
		if len(r.Items) == 1 {
			return ok(conn, r)
		}
		return refuse(conn, r)
	}
}

// firstRefused refuses the first operation and, as a server that stops at a failure, says nothing of the others.
func firstRefused(conn *tls.Conn, r *RequestMessage) bool {
	return allRefused(conn, &RequestMessage{Header: r.Header, Items: r.Items[:1]})
}

func allRefused(conn *tls.Conn, r *RequestMessage) bool {
	return otherwise(func(m *ResponseMessage) {
		for i := range m.Items {
			m.Items[i].Status, m.Items[i].Reason, m.Items[i].Payload = StatusFailed, FeatureNotSupported, nil
		}
	})(conn, r)
}

// TestRefusedSinglyToo: a server that does not carry an operation out in a batch or alone may yet take batches of others.
func TestRefusedSinglyToo(t *testing.T) {
	s := serve(t, nil, allRefused, allRefused, allRefused, ok)
	c := client(t, nil, s)
	for range 2 {
		b := Batch{Continue: true}
		Add(&b, get)
		Add(&b, get)
		require.NoError(t, c.Run(soon(t), &b))
	}
	require.Equal(t, []string{"Get Get 1.4", "Get 1.4", "Get 1.4", "Get Get 1.4"}, s.asked())
}

// oneByOne has a server refuse a batch and then do as the script says.
func oneByOne(script ...reply) []reply {
	return append([]reply{unbatched(FeatureNotSupported)}, script...)
}

// What goes on singly stays with the host that made the object: at another its identifier may be somebody else's object.
func TestSinglyAtOneHost(t *testing.T) {
	first, second := serve(t, nil, oneByOne(ok, hangUp)...), serve(t, nil, ok)
	c := client(t, nil, first, second)
	var b Batch
	made, attributes := Add(&b, createAES()), Add(&b, new(GetAttributes))
	err := c.Run(soon(t), &b)
	require.ErrorContains(t, err, "no answer from "+first.address)
	require.False(t, maybeExecuted(err), "the Create has its answer")
	require.NoError(t, made.Err)
	require.ErrorIs(t, attributes.Err, ErrNotRun)
	require.Empty(t, second.asked())
	_, err = Do(soon(t), c, get)
	require.NoError(t, err, "what comes then may go elsewhere")
	require.Equal(t, []string{"Get 1.4"}, second.asked())
}

// A change that was lost when it went singly may have been made, and that is said.
func TestSinglyLost(t *testing.T) {
	var b Batch
	made, active := Add(&b, createAES()), Add(&b, new(Activate))
	err := client(t, nil, serve(t, nil, oneByOne(ok, hangUp)...)).Run(soon(t), &b)
	require.True(t, maybeExecuted(err), "%v", err)
	require.NoError(t, made.Err)
	require.ErrorIs(t, active.Err, ErrNotRun)
}

// A server that refuses single messages as well is not one that takes those alone, and its reason is told.
func TestSinglyRefused(t *testing.T) {
	no := func(conn *tls.Conn, r *RequestMessage) bool {
		return send(conn, encoded(refused(r.Header.Version, FeatureNotSupported)))
	}
	for _, goOn := range []bool{false, true} {
		s := serve(t, nil, no, no, no, ok)
		c := client(t, nil, s)
		asked := []string{"Get Get 1.4", "Get 1.4"}
		b := Batch{Continue: goOn}
		first, second := Add(&b, get), Add(&b, get)
		require.NoError(t, c.Run(soon(t), &b))
		require.ErrorIs(t, first.Err, FeatureNotSupported)
		if goOn {
			asked = append(asked, "Get 1.4")
			require.ErrorIs(t, second.Err, FeatureNotSupported)
		} else {
			require.ErrorIs(t, second.Err, ErrNotRun)
		}
		require.Equal(t, asked, s.asked())
		_ = c.Run(soon(t), &b)
		require.Equal(t, "Get Get 1.4", s.asked()[len(asked)], "the next batch is one again")
	}
}

func TestBatchIsHeldAgainstItsAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*ResponseMessage)
		err    string
	}{
		{"another batch item", func(m *ResponseMessage) { m.Items[1].ID = []byte{9} }, "another batch item than 0002"},
		{"no batch item", func(m *ResponseMessage) { m.Items[1].ID = nil }, "another batch item than 0002"},
		{"swapped", func(m *ResponseMessage) { m.Items[0], m.Items[1] = m.Items[1], m.Items[0] }, "an answer to Get for Locate"},
		{"too many", func(m *ResponseMessage) { m.Items = append(m.Items, m.Items[1]) }, "3 batch items for 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b Batch
			Add(&b, new(Locate))
			Add(&b, new(Get))
			err := client(t, nil, serve(t, nil, otherwise(tt.change))).Run(soon(t), &b)
			require.ErrorContains(t, err, tt.err)
			requireReadable(t, err)
		})
	}
}

// A server that may choose the order takes the last item first. So every batch asks for its own, even one of questions that
// do not lean on each other.
func TestBatchIsInOrder(t *testing.T) {
	backward := func(conn *tls.Conn, r *RequestMessage) bool {
		m := done(r)
		if !r.Header.Ordered {
			slices.Reverse(m.Items)
		}
		return send(conn, encoded(m))
	}
	for _, v := range Versions() {
		for _, goOn := range []bool{false, true} {
			b := Batch{Continue: goOn}
			first, second := Add(&b, &GetAttributes{UniqueIdentifier: "1"}), Add(&b, &GetAttributes{UniqueIdentifier: "2"})
			require.NoError(t, client(t, func(c *Config) { c.Version = v }, serve(t, nil, backward)).Run(soon(t), &b))
			require.Equal(t, "1", first.Response.UniqueIdentifier)
			require.Equal(t, "2", second.Response.UniqueIdentifier)
		}
	}
}

// A server whose ID Placeholder is somebody else's object gives away no key: not where nothing was found, nor several.
func TestPlaceholderIsVerified(t *testing.T) {
	for name, found := range map[string][]string{"nothing": nil, "another": {"9"}, "several": {"made", "9"}} {
		t.Run(name, func(t *testing.T) {
			var b Batch
			Add(&b, new(Locate))
			got := Add(&b, new(Get))
			s := serve(t, nil, otherwise(func(m *ResponseMessage) { m.Items[0].Payload.(*LocateResponse).UniqueIdentifiers = found }))
			require.NoError(t, client(t, nil, s).Run(soon(t), &b))
			require.Nil(t, got.Response)
			require.ErrorContains(t, got.Err, "is about another object")
		})
	}
}

// Where neither the request nor the answer says which object, the answer's may be anybody's.
func TestNobodysObject(t *testing.T) {
	var b Batch
	Add(&b, new(Locate))
	got := Add(&b, new(Get))
	s := serve(t, nil, otherwise(func(m *ResponseMessage) {
		m.Items[0].Payload.(*LocateResponse).UniqueIdentifiers = nil
		m.Items[1].Payload.(*GetResponse).UniqueIdentifier = ""
	}))
	require.NoError(t, client(t, nil, s).Run(soon(t), &b))
	require.Nil(t, got.Response)
	require.ErrorContains(t, got.Err, "is about another object")
}

// An answer that cannot be used leaves a change in doubt, which whoever asked for it must know; a read changes nothing.
// Half a pair is of no use.
func TestUnusableAnswers(t *testing.T) {
	pair := func(private, public string) reply {
		return otherwise(func(m *ResponseMessage) {
			*m.Items[0].Payload.(*CreateKeyPairResponse) = CreateKeyPairResponse{private, public}
		})
	}
	another := otherwise(func(m *ResponseMessage) { *m.Items[0].Payload.(about).uniqueIdentifier() = "9" })
	for _, tt := range []struct {
		name  string
		do    func(context.Context, *Client) error
		reply reply
		err   string
		maybe bool
	}{
		{"a pair", doing(new(CreateKeyPair)), pair("a", "b"), "", false},
		{"a private key alone", doing(new(CreateKeyPair)), pair("a", ""), "CreateKeyPair gave no identifier", true},
		{"a public key alone", doing(new(CreateKeyPair)), pair("", "b"), "CreateKeyPair gave no identifier", true},
		{"another activated", doing(&Activate{UniqueIdentifier: "8"}), another, `the answer to Activate of "8" is about another object`, true},
		{"another read", doing(get), another, `the answer to Get of "8" is about another object`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, nil, tt.reply)
			err := tt.do(soon(t), client(t, nil, s))
			require.Len(t, s.asked(), 1)
			if tt.err == "" {
				require.NoError(t, err)
				return
			}
			var bad *BadResponseError
			require.ErrorAs(t, err, &bad)
			require.ErrorContains(t, err, tt.err)
			require.Equal(t, tt.maybe, bad.MaybeExecuted)
			require.Equal(t, s.address, bad.Server)
		})
	}
}

// doing is one operation, whatever its answer.
func doing[R any](r Request[R]) func(context.Context, *Client) error {
	return func(ctx context.Context, c *Client) error { _, err := Do(ctx, c, r); return err }
}

// The instances of an attribute are numbered in what makes an object, and nowhere else.
func TestInstancesAreNumbered(t *testing.T) {
	space := func(s string) Attribute { return ApplicationAttribute(s, "x") }
	s := serve(t, nil, ok)
	c := client(t, nil, s)
	_, err := Do(soon(t), c, &Create{SymmetricKeyObject, Attributes{space("a"), NameAttribute("n"), space("b"), space("c")}})
	require.NoError(t, err)
	_, err = Do(soon(t), c, &Locate{Attributes: Attributes{space("a"), space("b")}})
	require.NoError(t, err)
	indices := func(l Attributes) (all []int32) {
		for _, a := range l {
			all = append(all, a.Index)
		}
		return all
	}
	require.Equal(t, []int32{0, 0, 1, 2}, indices(s.requests[0].Items[0].Payload.(*Create).Attributes))
	require.Equal(t, []int32{0, 0}, indices(s.requests[1].Items[0].Payload.(*Locate).Attributes))
}

// Forget clears what was exchanged, and with it what was given out.
func TestForget(t *testing.T) {
	c := client(t, func(c *Config) { c.Credentials = []Credential{PasswordCredential("user", []byte("hunter2"))} }, serve(t, nil, ok))
	got, err := Do(soon(t), c, get)
	require.NoError(t, err)
	key, err := got.Object.Bytes()
	require.NoError(t, err)
	require.Equal(t, bytes.Repeat([]byte{0xA5}, 8), []byte(key))
	request, replies := c.request[:cap(c.request)], slices.Clone(c.replies)
	require.Contains(t, string(request), "hunter2")
	require.Len(t, replies, 1)

	c.Forget()
	require.Equal(t, make([]byte, 8), []byte(key))
	require.Equal(t, make([]byte, len(request)), request)
	require.Equal(t, make([]byte, len(replies[0])), replies[0])
	_, err = Do(soon(t), c, get)
	require.NoError(t, err, "the client goes on")
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
}

// A request of an ordinary size is never copied to a larger buffer, which would leave a copy behind.
func TestRequestsStayInOnePlace(t *testing.T) {
	c := client(t, nil, serve(t, nil, ok))
	before := &c.request[:1][0]
	_, err := Do(soon(t), c, &Register{createAES().Attributes, rawKey(make([]byte, 1024)...)})
	require.ErrorContains(t, err, "Register gave no identifier")
	require.Same(t, before, &c.request[0])
}

func TestErrorsSayWhatTheyAre(t *testing.T) {
	cause := errors.New("cause")
	for text, err := range map[string]error{
		"kmip: no answer from a: cause":           &TransportError{Server: "a", Sent: true, Err: cause},
		"kmip: cannot reach a: cause":             &TransportError{Server: "a", Err: cause},
		"kmip: bad response from a: cause":        &BadResponseError{Server: "a", Err: cause},
		"kmip: a speaks KMIP [1.0] and not [2.1]": &VersionError{"a", []Version{V2_1}, []Version{V1_0}, nil},
	} {
		require.EqualError(t, err, text)
		var v *VersionError
		require.True(t, errors.As(err, &v) || errors.Is(err, cause))
	}
	require.EqualError(t, ErrNotRun, "kmip: not run, since an operation before it failed")
}

// TestProbe: check would blame the wrong host or the wrong credentials, and leave connections open.
func TestProbe(t *testing.T) {
	s := serve(t, nil, ok)
	c := client(t, func(c *Config) { c.Credentials = []Credential{PasswordCredential("fred", []byte("p"))} }, s)
	caller := OpenStackCredential(example())
	c.As(&caller)
	p := c.Probes()[0]
	defer p.Close()
	_, err := p.Connect(soon(t))
	require.NoError(t, err)
	_, err = p.Handshake(soon(t))
	require.NoError(t, err)
	require.Equal(t, s.address, p.Server())
	require.True(t, p.Credentials())
	p.Anonymous()
	require.False(t, p.Credentials())
	_, err = Do(soon(t), p.Client, get)
	require.NoError(t, err)
	require.Empty(t, s.requests[0].Header.Credentials)

	_, err = p.Connect(soon(t))
	require.NoError(t, err)
	reached := p.reached
	require.NoError(t, p.Close())
	require.ErrorIs(t, reached.SetDeadline(time.Time{}), net.ErrClosed)
	require.Empty(t, bytes.Trim(p.request[:cap(p.request)], "\x00"), "what was sent is overwritten")
}

// TestProbeTakesNoLonger than a connection may, and says so.
func TestProbeTakesNoLonger(t *testing.T) {
	late := func(c *Config) { c.Hosts, c.ConnectTimeout = []string{"kms.invalid:1"}, time.Nanosecond }
	p := client(t, late).Probes()[0]
	defer p.Close()
	_, err := p.Resolve(soon(t))
	require.EqualError(t, err, "no answer within connect_timeout (1e-09 s)")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = p.Connect(soon(t))
	require.EqualError(t, err, "no answer within connect_timeout (1e-09 s)")
}

// TestCertificateRefusedLater has a server refuse the certificate when it has answered before: what was sent may have been
// carried out.
func TestCertificateRefusedLater(t *testing.T) {
	c := client(t, nil, serve(t, nil, ok))
	_, err := Do(soon(t), c, get)
	require.NoError(t, err)
	var lost *TransportError
	require.ErrorAs(t, c.lost(soon(t), &net.OpError{Op: "remote error", Err: tls.AlertError(49)}), &lost)
	require.True(t, lost.Sent)
}

// TestRefusedInTheVersionFound has a server without Discover Versions refuse the request in the version that it speaks.
func TestRefusedInTheVersionFound(t *testing.T) {
	s := serve(t, nil, func(conn *tls.Conn, request *RequestMessage) bool {
		if request.Header.Version != V1_2 || request.Items[0].Operation == OpDiscoverVersions {
			return send(conn, encoded(refused(V1_2, InvalidMessage)))
		}
		return send(conn, encoded(refused(V1_2, AuthenticationNotSuccessful)))
	})
	_, err := Do(soon(t), client(t, nil, s), get)
	require.ErrorIs(t, err, AuthenticationNotSuccessful)
}

// TestVersionsForTwoCredentials has a server speak none of the versions that have room for one credential alone.
func TestVersionsForTwoCredentials(t *testing.T) {
	refusal := otherwise(func(m *ResponseMessage) {
		m.Items[0].Status, m.Items[0].Reason, m.Items[0].Payload = StatusFailed, OperationNotSupported, nil
	})
	c := client(t, func(c *Config) {
		c.Credentials = []Credential{PasswordCredential("nova", []byte("secret"))}
	}, serve(t, nil, speaks(InvalidMessage, refusal, V2_1)))
	caller := OpenStackCredential(&RequestContext{AuthToken: []byte("token")})
	c.As(&caller)
	_, err := Do(soon(t), c, get)
	require.NoError(t, err)
	require.Equal(t, V2_1, c.Version())
}

// TestBoundIsLifted: a bound that fired while an answer came does not end what follows.
func TestBoundIsLifted(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	ctx, cancel := context.WithCancel(t.Context())
	stop := bound(ctx, near)
	cancel()
	stop()
	go far.Write([]byte{1})
	_, err := near.Read(make([]byte, 1))
	require.NoError(t, err)
}

// TestLargeRequestIsLetGo: a session that stored one large object would have as much memory for ever.
func TestLargeRequestIsLetGo(t *testing.T) {
	c := client(t, nil, serve(t, nil, ok))
	_, _ = Do(soon(t), c, &Register{Object: rawKey(make([]byte, 1<<20)...)})
	require.Greater(t, cap(c.request), 1<<20)
	c.Forget()
	require.Equal(t, firstRequest, cap(c.request))
}
