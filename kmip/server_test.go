package kmip

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"kmip-keymgr/ttlv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority is a certificate authority for one test run.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority() *authority {
	a := new(authority)
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	c := a.issue(template)
	a.cert, a.key, a.pool = c.Leaf, c.PrivateKey.(*ecdsa.PrivateKey), x509.NewCertPool()
	a.pool.AddCert(a.cert)
	return a
}

// issue signs a certificate for a new key, by itself where there is no authority yet.
func (a *authority) issue(template *x509.Certificate) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		panic(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) server(change func(*x509.Certificate)) tls.Certificate {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "kms"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(template)
	}
	return a.issue(template)
}

// pki is what most tests share.
var pki = sync.OnceValue(func() (p struct {
	*authority
	serverCert, clientCert tls.Certificate
},
) {
	p.authority = newAuthority()
	p.serverCert = p.server(nil)
	p.clientCert = p.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "client"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return p
})

// reply answers one request on a connection. The connection goes on while it returns true.
type reply func(conn *tls.Conn, request *RequestMessage) bool

// server is a key manager that does as a script says: one reply a request, over all connections, the last for ever.
type server struct {
	address  string
	listener net.Listener
	script   []reply

	mu       sync.Mutex
	conns    []net.Conn
	requests []*RequestMessage
	running  sync.WaitGroup
}

// serve starts a server, whose TLS configuration may be changed.
func serve(t *testing.T, change func(*tls.Config), script ...reply) *server {
	t.Helper()
	p := pki()
	config := &tls.Config{Certificates: []tls.Certificate{p.serverCert}, ClientCAs: p.pool, ClientAuth: tls.RequireAndVerifyClientCert}
	if change != nil {
		change(config)
	}
	s := listen(t, func(s *server, conn net.Conn) { s.talk(tls.Server(conn, config)) })
	s.script = script
	return s
}

// listen starts a server that does as it likes with each connection.
func listen(t *testing.T, handle func(*server, net.Conn)) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &server{address: l.Addr().String(), listener: l}
	s.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			s.running.Go(func() { handle(s, conn) })
		}
	})
	t.Cleanup(s.stop)
	return s
}

// stop hangs up on everybody and waits.
func (s *server) stop() {
	s.listener.Close()
	s.mu.Lock()
	for _, conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

func (s *server) talk(conn *tls.Conn) {
	defer conn.Close()
	for {
		msg, err := ttlv.ReadMessage(conn, ttlv.TagRequestMessage, MaxResponse)
		if err != nil {
			return
		}
		request := new(RequestMessage)
		if err := request.Decode(&ttlv.Coder{Strict: true}, msg); err != nil {
			panic(err)
		}
		if !s.next(request)(conn, request) {
			return
		}
	}
}

// next notes a request and finds its reply.
func (s *server) next(request *RequestMessage) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, request)
	return s.script[min(len(s.requests), len(s.script))-1]
}

// asked are the operations of the requests so far, those of a batch together.
func (s *server) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, m := range s.requests {
		text := ""
		for _, i := range m.Items {
			text += i.Operation.String() + " "
		}
		all = append(all, text+m.Header.Version.String())
	}
	return all
}

func (s *server) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// done is what a server answers that does what it is asked. What it makes has the identifier "made".
func done(request *RequestMessage) *ResponseMessage {
	m := &ResponseMessage{Header: ResponseHeader{Version: request.Header.Version, TimeStamp: time.Unix(1<<30, 0).UTC()}}
	for _, asked := range request.Items {
		m.Items = append(m.Items, ResponseItem{Operation: asked.Operation, ID: asked.ID, Payload: answer(asked)})
	}
	return m
}

func answer(asked RequestItem) Payload {
	p := asked.Operation.newResponse()
	switch p := p.(type) {
	case *CreateResponse:
		p.ObjectType, p.UniqueIdentifier = SymmetricKeyObject, "made"
	case *GetResponse:
		p.Object = rawKey(0xA5, 0xA5, 0xA5, 0xA5, 0xA5, 0xA5, 0xA5, 0xA5)
	case *LocateResponse:
		p.UniqueIdentifiers = []string{"made"}
	case *DiscoverVersionsResponse:
		p.Versions = Versions()
	}
	if target, ok := asked.Payload.(about); ok {
		*p.(about).uniqueIdentifier() = cmp.Or(*target.uniqueIdentifier(), "made")
	}
	return p
}

// refused is the answer of a server that refuses a message as a whole, under a version of its own.
func refused(v Version, reason ResultReason) *ResponseMessage {
	return &ResponseMessage{
		Header: ResponseHeader{Version: v, TimeStamp: time.Unix(1<<30, 0)},
		Items:  []ResponseItem{{Status: StatusFailed, Reason: reason, Message: "no"}},
	}
}

func encoded(m *ResponseMessage) []byte {
	b, err := m.Append(new(ttlv.Coder), nil)
	if err != nil {
		panic(err)
	}
	return b
}

// ok answers.
func ok(conn *tls.Conn, request *RequestMessage) bool { return send(conn, encoded(done(request))) }

func send(conn *tls.Conn, b []byte) bool {
	_, err := conn.Write(b)
	return err == nil
}

// hangUp executes, as far as one can tell, and hangs up.
func hangUp(*tls.Conn, *RequestMessage) bool { return false }

// silent says nothing for as long as the client waits.
func silent(conn *tls.Conn, _ *RequestMessage) bool {
	_, _ = conn.Read(make([]byte, 1))
	return false
}

// otherwise answers otherwise than it should.
func otherwise(change func(*ResponseMessage)) reply {
	return func(conn *tls.Conn, request *RequestMessage) bool {
		m := done(request)
		change(m)
		return send(conn, encoded(m))
	}
}

// patched answers with one byte changed: 35 is the version's major number, 39 the padding behind it.
func patched(at int, b byte) reply {
	return func(conn *tls.Conn, request *RequestMessage) bool {
		msg := encoded(done(request))
		msg[at] = b
		return send(conn, msg)
	}
}

// raw says these bytes.
func raw(b []byte) reply {
	return func(conn *tls.Conn, _ *RequestMessage) bool { return send(conn, b) }
}

// cut answers with some bytes less, and hangs up or waits.
func cut(less int, then reply) reply {
	return func(conn *tls.Conn, request *RequestMessage) bool {
		b := encoded(done(request))
		return send(conn, b[:len(b)-less]) && then(conn, request)
	}
}

// speaks is a server of some versions: it refuses messages of others under its first, and says so when asked.
func speaks(reason ResultReason, discover reply, versions ...Version) reply {
	return func(conn *tls.Conn, request *RequestMessage) bool {
		switch {
		case request.Items[0].Operation == OpDiscoverVersions && discover != nil:
			return discover(conn, request)
		case !slices.Contains(versions, request.Header.Version):
			return send(conn, encoded(refused(versions[0], reason)))
		}
		return ok(conn, request)
	}
}

// lists answers Discover Versions.
func lists(versions ...Version) reply {
	return otherwise(func(m *ResponseMessage) { m.Items[0].Payload.(*DiscoverVersionsResponse).Versions = versions })
}

// client makes a client for servers, which retries at once.
func client(t *testing.T, change func(*Config), servers ...*server) *Client {
	t.Helper()
	config := Config{
		TLS:            TLS{Certificate: pki().clientCert, Roots: pki().pool, MinVersion: tls.VersionTLS12},
		ConnectTimeout: 10 * time.Second, MaxRetries: 2, RetryInterval: time.Nanosecond,
	}
	for _, s := range servers {
		config.Hosts = append(config.Hosts, s.address)
	}
	if change != nil {
		change(&config)
	}
	c := NewClient(config)
	t.Cleanup(func() { c.Close() })
	return c
}

// soon is a context that ends before a test gets boring.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
