package kmip

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/ttlv"
)

// wired is a TLS connection over a wire, with a server that answers as it is told.
func wired(t *testing.T, version uint16, server func(net.Conn)) *tls.Conn {
	t.Helper()
	a := newAuthority()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{a.server(nil)}, MaxVersion: version})
	require.NoError(t, err)
	var wait sync.WaitGroup
	wait.Go(func() {
		conn, err := listener.Accept()
		if err == nil {
			server(conn)
			conn.Close()
		}
	})
	raw, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	conn := tls.Client(newWire(raw), &tls.Config{RootCAs: a.pool, ServerName: "localhost"})
	t.Cleanup(func() {
		raw.Close()
		listener.Close()
		wait.Wait()
	})
	require.NoError(t, conn.HandshakeContext(context.Background()))
	return conn
}

// TestWire has messages of many lengths go there and back, and what is behind them overwritten, in either version of TLS.
func TestWire(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		conn := wired(t, version, func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
		for _, length := range []int{1, publicStart - 1, publicStart, publicStart + 1, 1000, 1001, 16384, 16385, 100000, 1, 3000} {
			message := bytes.Repeat([]byte("message "), length/8+1)[:length]
			require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
			require.NoError(t, writeSecret(conn, message))
			answer := make([]byte, length)
			_, err := io.ReadFull(conn, answer)
			require.NoError(t, err)
			require.True(t, bytes.Equal(message, answer), "%d bytes", length)
			require.True(t, wipeRead(conn))
		}
	}
}

// TestWipeReadDrops has unread bytes of an answer noticed and dropped, and those of a later one not.
func TestWipeReadDrops(t *testing.T) {
	conn := wired(t, tls.VersionTLS13, func(conn net.Conn) {
		request := make([]byte, 1)
		for _, answer := range []string{"the first answer", "the second answer"} {
			if _, err := io.ReadFull(conn, request); err != nil {
				return
			}
			_, _ = io.WriteString(conn, answer+strings.Repeat(".", 700)) // more than wipeRead reads at once
		}
	})
	answer := make([]byte, 9)
	require.NoError(t, writeSecret(conn, []byte("1")))
	_, err := io.ReadFull(conn, answer)
	require.NoError(t, err)
	require.Equal(t, "the first", string(answer))
	require.False(t, wipeRead(conn))
	require.NoError(t, writeSecret(conn, []byte("2")))
	_, err = io.ReadFull(conn, answer)
	require.NoError(t, err)
	require.Equal(t, "the secon", string(answer))
}

// TestRecordsOneByOne: crypto/tls would leave an answer that it decrypted in the room behind a shorter one.
func TestRecordsOneByOne(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	raw, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	defer raw.Close()
	require.NoError(t, raw.SetDeadline(time.Now().Add(10*time.Second)))
	server, err := listener.Accept()
	require.NoError(t, err)
	defer server.Close()
	records := []string{"\x17\x03\x03\x00\x06secret", "\x17\x03\x03\x00\x03one"}
	_, err = io.WriteString(server, strings.Join(records, ""))
	require.NoError(t, err)
	w := newWire(raw)
	for _, record := range records {
		room := bytes.Repeat([]byte("secret"), 10)
		n, err := io.ReadAtLeast(w, room, len(record))
		require.NoError(t, err)
		require.Equal(t, record, string(room[:n]))
		require.Equal(t, make([]byte, len(room)-n), room[n:])
	}
}

// TestWriteSecretFails: the answer to a request that was never sent would be waited for until the time is over.
func TestWriteSecretFails(t *testing.T) {
	conn := wired(t, tls.VersionTLS13, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	require.NoError(t, conn.NetConn().Close())
	require.ErrorIs(t, writeSecret(conn, make([]byte, 1000)), net.ErrClosed)
}

// TestPublicStart: a token or password in the first record would stay where crypto/tls makes room for that.
func TestPublicStart(t *testing.T) {
	for _, d := range []Credential{OpenStackCredential(&RequestContext{AuthToken: []byte("secret")}), PasswordCredential("", []byte("secret"))} {
		for _, v := range Versions() {
			var b Batch
			Add(&b, get)
			message, err := b.message(v, []Credential{d}).Append(new(ttlv.Coder), nil)
			require.NoError(t, err)
			require.GreaterOrEqual(t, bytes.Index(message, []byte("secret")), publicStart, v)
		}
	}
}
