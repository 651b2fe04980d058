package mock_test

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
	"kmip-keymgr/mock"
	"kmip-keymgr/ttlv"
)

// connections is how many clients the benchmarks have, each with a connection of its own.
const connections = 8

// BenchmarkGet and BenchmarkEcho do the same but for what the server does with the request: Echo's sends bytes of the
// reply's length and knows nothing of KMIP. Their ratio is the price of the key manager.
func BenchmarkGet(b *testing.B) {
	server, request, _ := getExchange(b)
	exchangeAll(b, server.Addr(), tlsConfig(server.Client()), request)
}

// BenchmarkEcho is the floor.
func BenchmarkEcho(b *testing.B) {
	server, request, reply := getExchange(b)
	pki, err := mock.NewPKI()
	require.NoError(b, err)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pki.Server}, ClientCAs: pki.Roots, ClientAuth: tls.RequireAndVerifyClientCert,
	})
	require.NoError(b, err)
	go echo(l, len(request), reply)
	defer l.Close()
	config := tlsConfig(server.Client())
	config.RootCAs, config.Certificates = pki.Roots, []tls.Certificate{pki.Client}
	exchangeAll(b, l.Addr().String(), config, request)
}

func echo(l net.Listener, size int, reply []byte) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			request := make([]byte, size)
			for {
				if _, err := io.ReadFull(conn, request); err != nil {
					return
				}
				if _, err := conn.Write(reply); err != nil {
					return
				}
			}
		}()
	}
}

// getExchange is a server, and a Get with its reply as bytes.
func getExchange(b *testing.B) (server *mock.Server, request, reply []byte) {
	server, err := mock.Start(mock.Config{})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, server.Close()) })
	client := kmip.NewClient(server.Client())
	defer client.Close()
	made, err := kmip.Do(b.Context(), client, createAES())
	require.NoError(b, err)
	m := kmip.RequestMessage{
		Header: kmip.RequestHeader{Version: kmip.V1_4},
		Items:  []kmip.RequestItem{{Operation: kmip.OpGet, Payload: &kmip.Get{UniqueIdentifier: made.UniqueIdentifier}}},
	}
	request, err = m.Append(new(ttlv.Coder), nil)
	require.NoError(b, err)
	conn, err := tls.Dial("tcp", server.Addr(), tlsConfig(server.Client()))
	require.NoError(b, err)
	defer conn.Close()
	_, err = conn.Write(request)
	require.NoError(b, err)
	reply, err = ttlv.ReadMessage(conn, ttlv.TagResponseMessage, 1<<20)
	require.NoError(b, err)
	return server, request, reply
}

// exchangeAll makes b.N exchanges over all connections.
func exchangeAll(b *testing.B, address string, config *tls.Config, request []byte) {
	var conns []net.Conn
	for range connections {
		conn, err := tls.Dial("tcp", address, config)
		require.NoError(b, err)
		defer conn.Close()
		conns = append(conns, conn)
	}
	b.ResetTimer()
	start := time.Now()
	var wait sync.WaitGroup
	for i, conn := range conns {
		wait.Go(func() {
			for n := i; n < b.N; n += connections {
				_, _ = conn.Write(request)
				if _, err := ttlv.ReadMessage(conn, ttlv.TagResponseMessage, 1<<20); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "exchanges/s")
}
