package mock

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"kmip-keymgr/keystone"
	"kmip-keymgr/kmip"
	"kmip-keymgr/ttlv"
)

// The bounds of a server: nobody can make it wait, or hold memory, without end. A connection that is idle costs some 70 kB;
// one that is not, its request and its reply beside that.
const (
	maxRequest       = 3 << 20 // bytes: the helper stores values of nearly 2 MiB
	maxReply         = 4 << 20 // bytes of values in it
	maxKept          = 1 << 14 // bytes of a buffer that an idle connection keeps
	socketBuffer     = 1 << 16 // bytes in the kernel, each way
	maxConnections   = 4096    // who comes after waits until one leaves
	spareFiles       = 64      // that are open beside connections
	handshakeTimeout = 30 * time.Second
	idleTimeout      = 5 * time.Minute  // until the next request begins
	requestTimeout   = 30 * time.Second // from there until it is there in full
	writeTimeout     = 30 * time.Second
	closeTimeout     = 10 * time.Second
	drainTimeout     = time.Second
)

// Config is what a server needs to know. The zero Config is a server with a throw-away PKI that speaks all versions.
type Config struct {
	PKI       *PKI // nil for one of its own
	Users     []User
	Versions  VersionRange
	Faults    []Fault
	Inventory string // the file to keep, "" for none

	// Keystone turns on integrated mode: it validates the token that every message must carry. It stays the caller's.
	Keystone *keystone.Client
	// Authenticate tells who a client is. nil for Keystone, or else the certificate and the Users.
	Authenticate Authenticator

	// What servers elsewhere lack, for tests of clients that must cope.
	NoBatches  bool             // a message of more than one item is refused as a whole
	DecimalIDs bool             // identifiers are 1, 2, 3 and not UUIDs
	Namesakes  bool             // several objects may have one Name, as with PyKMIP
	Forgetful  bool             // a destroyed object's attributes are gone with it
	Without    []kmip.Operation // operations that are not supported
}

// Server is a key manager. Several connections are served at once.
type Server struct {
	config   Config
	tls      *tls.Config
	store    store
	faults   faults
	inv      inventory
	requests atomic.Int64
	places   chan struct{} // one for each connection that there may be

	stopping context.Context
	stop     context.CancelFunc
	mu       sync.Mutex // guards what follows
	listener net.Listener
	conns    map[net.Conn]struct{}
	closed   bool
	wait     sync.WaitGroup
}

// New makes a server. It writes the inventory, which is empty.
func New(config Config) (*Server, error) {
	if config.PKI == nil {
		pki, err := NewPKI()
		if err != nil {
			return nil, err
		}
		config.PKI = pki
	}
	if len(config.Versions.list()) == 0 {
		return nil, fmt.Errorf("mock: no version from %v to %v", config.Versions.Min, config.Versions.Max)
	}
	if config.Authenticate == nil && config.Keystone != nil {
		config.Authenticate = byToken(config.Keystone, config.Users)
	} else if config.Authenticate == nil {
		config.Authenticate = certificateAndUser(config.Users)
	}
	s := &Server{config: config, tls: config.PKI.serverConfig(), conns: make(map[net.Conn]struct{})}
	s.store.decimalIDs, s.store.namesakes = config.DecimalIDs, config.Namesakes
	s.store.objects, s.store.named = make(map[string]*object), make(map[string][]*object)
	if !config.Forgetful {
		s.store.destroyed = make(map[string]*object)
	}
	s.faults.add(config.Faults...)
	s.inv.file = config.Inventory
	s.places = make(chan struct{}, connectionLimit())
	s.stopping, s.stop = context.WithCancel(context.Background())
	return s, s.inv.write(&s.store)
}

// Start makes a server that listens on a free port of 127.0.0.1.
func Start(config Config) (*Server, error) {
	s, err := New(config)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if !s.begin(l) {
		return nil, errors.Join(net.ErrClosed, l.Close())
	}
	s.wait.Go(func() { _ = s.accept(l) })
	return s, nil
}

// Serve accepts connections until Close, and then returns nil.
func (s *Server) Serve(l net.Listener) error {
	if !s.begin(l) {
		return l.Close()
	}
	return s.accept(l)
}

func (s *Server) begin(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.listener = l
	if s.config.Inventory != "" {
		s.wait.Go(s.keepInventory)
	}
	return true
}

// accept takes connections while there are places. A client that finds none waits in the listener's queue, where nothing
// that it sends is lost.
func (s *Server) accept(l net.Listener) error {
	for s.takePlace() {
		conn, err := l.Accept()
		switch {
		case err != nil && s.stopping.Err() == nil && !isTemporary(err):
			return err
		case err != nil:
			s.leavePlace()
			s.pause(10 * time.Millisecond)
		case s.faults.refuse() || !s.enter(conn):
			s.leavePlace()
			conn.Close()
		default:
			go s.converse(conn)
		}
	}
	return nil
}

// takePlace waits for a place, until the server stops.
func (s *Server) takePlace() bool {
	select {
	case s.places <- struct{}{}:
		return s.stopping.Err() == nil
	case <-s.stopping.Done():
		return false
	}
}

func (s *Server) leavePlace() { <-s.places }

// connectionLimit is how many connections leave the process files to work with.
func connectionLimit() int {
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) != nil || files.Cur > maxConnections+spareFiles {
		return maxConnections
	}
	return max(1, int(files.Cur)-spareFiles)
}

// isTemporary tells errors of one connection, or of a moment, from those of the listener.
func isTemporary(err error) bool {
	var n net.Error
	return errors.As(err, &n) && !errors.Is(err, net.ErrClosed)
}

// enter counts a connection in, unless the server has been closed. Close waits for it to leave.
func (s *Server) enter(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[conn] = struct{}{}
	s.wait.Add(1)
	return true
}

func (s *Server) leave(conn net.Conn) {
	defer s.wait.Done()
	defer s.leavePlace()
	conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// Addr is where the server listens, HOST:PORT, "" before it does.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Requests is the number of request messages taken so far: round trips, whatever became of them.
func (s *Server) Requests() int { return int(s.requests.Load()) }

// Inject adds faults, which act from the next request on.
func (s *Server) Inject(f ...Fault) { s.faults.add(f...) }

// Client is the configuration of a client that this server takes, with the first of its users.
func (s *Server) Client() kmip.Config { return s.client(s.config.PKI.Client) }

// OtherClient is the configuration of another client.
func (s *Server) OtherClient() kmip.Config { return s.client(s.config.PKI.Other) }

func (s *Server) client(cert tls.Certificate) kmip.Config {
	c := kmip.Config{
		Hosts:          []string{s.Addr()},
		TLS:            kmip.TLS{Certificate: cert, Roots: s.config.PKI.Roots, ServerName: "localhost", MinVersion: tls.VersionTLS12},
		ConnectTimeout: 10 * time.Second,
	}
	for _, u := range s.config.Users[:min(1, len(s.config.Users))] {
		c.Credentials = []kmip.Credential{kmip.PasswordCredential(u.Name, u.Password)}
	}
	return c
}

// Close hangs up on everyone, waits until nothing runs any more, and forgets all objects.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.stop()
	if s.listener != nil {
		s.listener.Close()
	}
	for conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.wait.Wait(); close(done) }()
	select {
	case <-done:
		s.store.clear()
		return nil
	case <-time.After(closeTimeout):
		return errors.New("mock: a request did not end")
	}
}

// pause waits, but not beyond the server's end.
func (s *Server) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.stopping.Done():
	}
}

// converse serves one connection.
func (s *Server) converse(raw net.Conn) {
	defer s.leave(raw)
	boundBuffers(raw)
	wire := &handshake{Conn: raw, server: s, fault: s.faults.handshake()}
	conn := tls.Server(wire, s.tls)
	_ = raw.SetDeadline(time.Now().Add(handshakeTimeout + wire.fault.delay))
	if conn.Handshake() != nil || wire.over() {
		return
	}
	_ = raw.SetDeadline(time.Time{})
	session := newSession(s, conn.ConnectionState())
	for session.exchange(conn) {
	}
}

// exchange reads one request and answers it. It reports whether the connection can go on.
func (s *session) exchange(conn *tls.Conn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(idleTimeout))
	s.arrival = arrival{conn: conn}
	msg, err := ttlv.ReadMessage(&s.arrival, ttlv.TagRequestMessage, maxRequest)
	var broken *ttlv.Error
	if errors.As(err, &broken) { // where the next message starts, nobody knows
		s.server.requests.Add(1)
		s.write(conn, s.refuse(s.server.config.Versions.nearest(0), invalid("%s", broken)))
		drain(conn)
		return false
	}
	if err != nil {
		return false
	}
	s.server.requests.Add(1)
	reply, goOn := s.answer(msg)
	clear(msg)
	goOn = s.write(conn, reply) && goOn
	s.rest()
	return goOn
}

// boundBuffers keeps the kernel from holding megabytes for a client that sends and does not read.
func boundBuffers(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(socketBuffer) // what the kernel makes of it is its own affair
		_ = tcp.SetWriteBuffer(socketBuffer)
	}
}

// arrival is a request that comes in. Once it has begun, it must not take long.
type arrival struct {
	conn  net.Conn
	begun bool
}

func (a *arrival) Read(b []byte) (int, error) {
	n, err := a.conn.Read(b)
	if !a.begun {
		a.begun = true
		_ = a.conn.SetReadDeadline(time.Now().Add(requestTimeout))
	}
	return n, err
}

// write sends a reply, if there is one, in one piece.
func (s *session) write(conn net.Conn, reply []byte) bool {
	defer clear(s.reply)
	if len(reply) == 0 {
		return true
	}
	_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := conn.Write(reply)
	return err == nil
}

// drain takes what the client still sends for a moment, lest a reset overtake the reply.
func drain(conn *tls.Conn) {
	_ = conn.CloseWrite()
	raw := conn.NetConn()
	_ = raw.SetReadDeadline(time.Now().Add(drainTimeout))
	_, _ = io.CopyN(io.Discard, raw, 4*maxRequest)
}

// serverConfig asks every client for a certificate of the CA that is good for clients.
func (p *PKI) serverConfig() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{p.Server},
		ClientCAs:    p.Roots,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		MinVersion:   tls.VersionTLS12,
	}
}

// leaf is the client's certificate.
func leaf(state *tls.ConnectionState) *x509.Certificate {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	return state.PeerCertificates[0]
}
