package tests

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
	"kmip-keymgr/ttlv"
)

// seen is what a client saw of one request: the bytes of the reply as far as it went, and how long it took.
type seen struct {
	shaken bool   // the handshake was a success, as far as the client could tell
	wire   []byte // what came before TLS made anything of it
	reply  []byte
	closed bool // by the server, behind the reply
	took   time.Duration
}

// whole is the reply, decoded.
func (s *seen) whole(t *testing.T) *kmip.ResponseMessage {
	t.Helper()
	m := new(kmip.ResponseMessage)
	require.NoError(t, m.Decode(&ttlv.Coder{Strict: true}, s.reply))
	return m
}

// wiretap keeps what is read.
type wiretap struct {
	net.Conn
	read []byte
}

func (w *wiretap) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.read = append(w.read, b[:n]...)
	return n, err
}

// rawClient sends messages to a mock byte by byte, in one version of TLS.
type rawClient struct {
	address string
	config  *tls.Config
}

func newRawClient(t *testing.T, s *server, version uint16) *rawClient {
	t.Helper()
	dir := filepath.Dir(s.config)
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "client.pem"), filepath.Join(dir, "client-key.pem"))
	require.NoError(t, err)
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(ca))
	return &rawClient{s.address, &tls.Config{
		Certificates: []tls.Certificate{cert}, RootCAs: roots, ServerName: "localhost", MinVersion: version, MaxVersion: version,
	}}
}

// dial connects, without a word of TLS yet.
func (c *rawClient) dial(t *testing.T) (*tls.Conn, *wiretap) {
	t.Helper()
	conn, err := net.Dial("tcp", c.address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	tap := &wiretap{Conn: conn}
	return tls.Client(tap, c.config), tap
}

// exchange sends one message over a connection of its own and reads what comes, until the reply is whole.
func (c *rawClient) exchange(t *testing.T, items ...kmip.RequestItem) (s seen) {
	t.Helper()
	conn, tap := c.dial(t)
	defer conn.Close()
	begin := time.Now()
	if s.shaken = conn.Handshake() == nil; s.shaken {
		_, _ = conn.Write(encoded(t, items...)) // where it is not read, nothing comes back
		s.reply, s.closed = readReply(t, conn)
	}
	s.wire, s.took = tap.read, time.Since(begin)
	return s
}

func encoded(t *testing.T, items ...kmip.RequestItem) []byte {
	t.Helper()
	m := kmip.RequestMessage{Header: kmip.RequestHeader{Version: kmip.V1_4, ErrorContinuation: kmip.BatchContinue}, Items: items}
	b, err := m.Append(new(ttlv.Coder), nil)
	require.NoError(t, err)
	return b
}

// readReply reads a message, or else all there is until the server hangs up.
func readReply(t *testing.T, conn net.Conn) (reply []byte, closed bool) {
	t.Helper()
	for size := 8; len(reply) < size; {
		chunk := make([]byte, size-len(reply))
		n, err := conn.Read(chunk)
		reply = append(reply, chunk[:n]...)
		if err != nil {
			require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the server neither answers nor hangs up")
			return reply, true
		}
		if len(reply) >= 8 && !bytes.HasPrefix(reply, []byte("garbage ")) {
			size = 8 + int(reply[4])<<24 + int(reply[5])<<16 + int(reply[6])<<8 + int(reply[7])
		} else if len(reply) >= 8 {
			size = 1 << 20 // until the end
		}
	}
	return reply, false
}

// everyRequest asks once for each operation. What is about an object is about none there is, which makes a reply as any other.
func everyRequest() (list []kmip.RequestItem) {
	const none = "none"
	aes := func() kmip.Attributes {
		return kmip.Attributes{
			kmip.EnumAttribute(ttlv.TagCryptographicAlgorithm, kmip.AES),
			kmip.IntAttribute(ttlv.TagCryptographicLength, int32(128)),
			kmip.IntAttribute(ttlv.TagCryptographicUsageMask, kmip.UsageEncrypt),
		}
	}
	pair := kmip.Attributes{
		kmip.EnumAttribute(ttlv.TagCryptographicAlgorithm, kmip.EC),
		kmip.IntAttribute(ttlv.TagCryptographicLength, int32(256)),
		kmip.IntAttribute(ttlv.TagCryptographicUsageMask, kmip.UsageSign),
	}
	key := kmip.Object{Type: kmip.SymmetricKeyObject, Value: ttlv.BytesValue(make([]byte, 16)), KeyBlock: kmip.KeyBlock{Format: kmip.Raw, Algorithm: kmip.AES, Length: 128}}
	payloads := []kmip.Payload{
		&kmip.Create{ObjectType: kmip.SymmetricKeyObject, Attributes: aes()},
		&kmip.CreateKeyPair{Common: pair},
		&kmip.Register{Object: key, Attributes: aes()[2:]},
		&kmip.Locate{},
		&kmip.Get{UniqueIdentifier: none},
		&kmip.GetAttributes{UniqueIdentifier: none},
		&kmip.GetAttributeList{UniqueIdentifier: none},
		&kmip.AddAttribute{UniqueIdentifier: none, Attribute: kmip.NameAttribute("n")},
		&kmip.ModifyAttribute{UniqueIdentifier: none, Attribute: kmip.NameAttribute("n")},
		&kmip.DeleteAttribute{UniqueIdentifier: none, Name: kmip.AttributeName{Tag: ttlv.TagName}},
		&kmip.Activate{UniqueIdentifier: none},
		&kmip.Revoke{UniqueIdentifier: none, Code: kmip.KeyCompromise},
		&kmip.Destroy{UniqueIdentifier: none},
		&kmip.Query{Functions: []kmip.QueryFunction{kmip.QueryOperations}},
		&kmip.DiscoverVersions{},
	}
	for _, p := range payloads {
		operation := p.(interface{ Operation() kmip.Operation }).Operation()
		list = append(list, kmip.RequestItem{Operation: operation, ID: []byte(operation.String()), Payload: p})
	}
	return list
}

// held is how long a delayed reply is held back.
const held = 50 * time.Millisecond

// faultActions are the actions that befall a request: what a client sees of each, and whether the request is executed.
var faultActions = []struct {
	spelling string
	see      func(t *testing.T, s seen)
	executes bool
}{
	{"drop-request", seesNothing, false},
	{"drop-response", seesNothing, true},
	{"truncate=0", seesNothing, true},
	{"truncate=13", func(t *testing.T, s seen) { require.Len(t, s.reply, 13); require.True(t, s.closed) }, true},
	{"garbage", func(t *testing.T, s seen) {
		require.True(t, bytes.HasPrefix(s.reply, []byte("garbage ")), "%q", s.reply)
		require.True(t, s.closed)
	}, true},
	{"delay=" + held.String(), func(t *testing.T, s seen) { require.GreaterOrEqual(t, s.took, held); requireServed(t, s) }, true},
	{"reason=Cryptographic Failure", func(t *testing.T, s seen) {
		for _, item := range s.whole(t).Items {
			require.Equal(t, kmip.CryptographicFailure, item.Reason)
		}
	}, false},
}

func seesNothing(t *testing.T, s seen) {
	t.Helper()
	require.True(t, s.shaken)
	require.Empty(t, s.reply)
	require.True(t, s.closed)
}

// requireServed wants a whole reply that no fault has touched.
func requireServed(t *testing.T, s seen) {
	t.Helper()
	for _, item := range s.whole(t).Items {
		require.NotEqual(t, kmip.CryptographicFailure, item.Reason)
	}
}

// inBothTLS runs a test in each version of TLS that the mock speaks.
func inBothTLS(t *testing.T, name string, test func(t *testing.T, version uint16)) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(name+" in "+tls.VersionName(version), func(t *testing.T) { test(t, version) })
	}
}

// TestMockFaults has every action befall every operation, twice each: one mock has the faults of one action, and each is to
// hit the first two requests of its operation and no other.
func TestMockFaults(t *testing.T) {
	const count = 2
	for _, action := range faultActions {
		inBothTLS(t, action.spelling, func(t *testing.T, version uint16) {
			requests := everyRequest()
			require.Len(t, requests, len(kmip.Operations()))
			var flags []string
			for _, r := range requests {
				flags = append(flags, "--fault", fmt.Sprintf("%v:%s:%d", r.Operation, action.spelling, count))
			}
			s := startMock(t, flags...)
			c := newRawClient(t, s, version)
			for _, r := range requests {
				for range count {
					action.see(t, c.exchange(t, r))
				}
			}
			made := 0
			if action.executes {
				made = count * (1 + 2 + 1) // Create, CreateKeyPair, Register
			}
			require.Equal(t, made, s.count(t))
			for _, r := range requests {
				requireServed(t, c.exchange(t, r))
			}
			require.Equal(t, made+4, s.count(t))
		})
	}
}

// TestMockFaultsOfAny hits whatever comes first, and a batch as one request.
func TestMockFaultsOfAny(t *testing.T) {
	for _, action := range faultActions {
		inBothTLS(t, action.spelling, func(t *testing.T, version uint16) {
			s := startMock(t, "--fault", "*:"+action.spelling+":3")
			c := newRawClient(t, s, version)
			requests := everyRequest()
			action.see(t, c.exchange(t, requests[3]))
			action.see(t, c.exchange(t, requests[0]))
			action.see(t, c.exchange(t, requests...))
			if action.executes {
				require.Equal(t, 1+4, s.count(t))
			} else {
				require.Zero(t, s.count(t))
			}
			requireServed(t, c.exchange(t, requests...))
		})
	}
}

// TestMockFaultsInABatch hits a batch by one of its items: as a whole, but for a reason, which that item alone fails with.
func TestMockFaultsInABatch(t *testing.T) {
	for _, action := range faultActions {
		t.Run(action.spelling, func(t *testing.T) {
			s := startMock(t, "--fault", "Create:"+action.spelling)
			c := newRawClient(t, s, tls.VersionTLS13)
			create, locate, list := everyRequest()[0], everyRequest()[3], everyRequest()[13]
			requireServed(t, c.exchange(t, locate))
			hit := c.exchange(t, locate, create, list)
			if strings.HasPrefix(action.spelling, "reason") {
				items := hit.whole(t).Items
				require.Len(t, items, 3)
				require.Equal(t, kmip.CryptographicFailure, items[1].Reason)
				require.Equal(t, []kmip.ResultStatus{kmip.StatusSuccess, kmip.StatusSuccess}, []kmip.ResultStatus{items[0].Status, items[2].Status})
			} else {
				action.see(t, hit)
			}
			require.Equal(t, action.executes, s.count(t) == 1)
			requireServed(t, c.exchange(t, create))
		})
	}
}

// TestMockRefuses closes connections on accept, whatever they would have carried.
func TestMockRefuses(t *testing.T) {
	for _, operation := range []string{"*", "Create", "Handshake"} {
		inBothTLS(t, operation, func(t *testing.T, version uint16) {
			s := startMock(t, "--fault", operation+":refuse:2", "--fault", operation+":refuse")
			c := newRawClient(t, s, version)
			for range 3 {
				refused := c.exchange(t, everyRequest()[3])
				require.False(t, refused.shaken)
				require.Empty(t, refused.wire)
			}
			requireServed(t, c.exchange(t, everyRequest()[3]))
		})
	}
}

// TestMockFaultsInTheHandshake breaks off between the client's hello and the first request.
func TestMockFaultsInTheHandshake(t *testing.T) {
	for action, see := range map[string]func(t *testing.T, s seen){
		"drop-request":   func(t *testing.T, s seen) { require.False(t, s.shaken); require.Empty(t, s.wire) },
		"drop-response":  seesNothing,
		"truncate=0":     func(t *testing.T, s seen) { require.False(t, s.shaken); require.Empty(t, s.wire) },
		"truncate=50":    func(t *testing.T, s seen) { require.False(t, s.shaken); require.Len(t, s.wire, 50) },
		"truncate=99999": func(t *testing.T, s seen) { seesNothing(t, s) },
		"garbage": func(t *testing.T, s seen) {
			require.False(t, s.shaken)
			require.True(t, bytes.HasPrefix(s.wire, []byte("garbage ")), "%q", s.wire)
		},
		"delay=" + held.String(): func(t *testing.T, s seen) { require.GreaterOrEqual(t, s.took, held); requireServed(t, s) },
	} {
		inBothTLS(t, action, func(t *testing.T, version uint16) {
			s := startMock(t, "--fault", "Handshake:"+action+":2")
			c := newRawClient(t, s, version)
			for range 2 {
				see(t, c.exchange(t, everyRequest()[0]))
			}
			served := c.exchange(t, everyRequest()[0])
			requireServed(t, served)
			made := 1
			if strings.HasPrefix(action, "delay") {
				made = 3
			}
			require.Equal(t, made, s.count(t), "a request that comes before the connection goes is not executed")
		})
	}
}

// TestMockFaultsInOrder gives several faults to one operation, and to one beside any.
func TestMockFaultsInOrder(t *testing.T) {
	s := startMock(t, "--fault", "Create:reason=CryptographicFailure", "--fault", "Create:drop-response:2", "--fault", "Get:garbage",
		"--fault", "Create:delay="+held.String()+":2", "--fault", "Create:truncate=8", "--fault", "Create:drop-request")
	c := newRawClient(t, s, tls.VersionTLS13)
	create, get := everyRequest()[0], everyRequest()[4]

	first := c.exchange(t, create)
	require.Equal(t, kmip.CryptographicFailure, first.whole(t).Items[0].Reason)
	require.GreaterOrEqual(t, first.took, held)
	second := c.exchange(t, create)
	seesNothing(t, second)
	require.GreaterOrEqual(t, second.took, held)
	seesNothing(t, c.exchange(t, create))
	require.Len(t, c.exchange(t, create).reply, 8)
	require.Equal(t, 3, s.count(t))
	seesNothing(t, c.exchange(t, create))
	require.Equal(t, 3, s.count(t))
	requireServed(t, c.exchange(t, create))
	require.True(t, bytes.HasPrefix(c.exchange(t, get).reply, []byte("garbage ")))

	both := startMock(t, "--fault", "Create:reason=CryptographicFailure", "--fault", "*:drop-response")
	c = newRawClient(t, both, tls.VersionTLS13)
	seesNothing(t, c.exchange(t, create))
	require.Zero(t, both.count(t))
	requireServed(t, c.exchange(t, create))
}

// TestMockFaultSpellings refuses what is no fault, in one line that shows it, before anything is made.
func TestMockFaultSpellings(t *testing.T) {
	for _, fault := range []string{
		"", "Create", ":", "Create:", ":refuse", "create:refuse", "Creates:refuse", "Encrypt:refuse", "handshake:refuse", "**:refuse",
		"Create:refuse:", "Create:refuse:0", "Create:refuse:-1", "Create:refuse:x", "Create:refuse:1.5", "Create:refuse:99999999999999999999",
		"Create:refuse:1:1", "Create:explode", "Create:Refuse", "Create:refuse=1", "Create:garbage=1", "Create:drop-request=", "Create:drop",
		"Create:truncate", "Create:truncate=", "Create:truncate=-1", "Create:truncate=x", "Create:truncate=1.5", "Create:delay",
		"Create:delay=", "Create:delay=5", "Create:delay=-1s", "Create:delay=soon", "Create:reason", "Create:reason=", "Create:reason=Because",
		"Create:reason=itemnotfound", "Handshake:reason=ItemNotFound", "Create refuse", "Create,refuse",
	} {
		t.Run(fault, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			pki := filepath.Join(t.TempDir(), "pki")
			cmd := exec.CommandContext(ctx, program("kmip-mock"), "--listen", "127.0.0.1:0", "--pki", pki, "--fault", fault)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			require.Error(t, cmd.Run())
			require.Equal(t, 2, cmd.ProcessState.ExitCode(), "%s", &stderr)
			require.Empty(t, stdout.String())
			require.Equal(t, 1, strings.Count(stderr.String(), "\n"), "%s", &stderr)
			require.Contains(t, stderr.String(), fmt.Sprintf("fault %q", fault))
			require.NoDirExists(t, pki)
		})
	}
}

// TestHandshakesThatFail costs a helper an attempt and nothing more.
func TestHandshakesThatFail(t *testing.T) {
	for _, action := range []string{"refuse", "drop-request", "drop-response", "truncate=0", "truncate=700", "garbage", "delay=100ms"} {
		for _, minimum := range []string{"1.2", "1.3"} {
			t.Run(action+" in TLS "+minimum, func(t *testing.T) {
				s := startMock(t, "--fault", "Handshake:"+action+":2")
				h := helper{configs: []string{s.config}}.with(t, "retry_interval = 0.01", "tls_min_version = "+minimum)
				id := keyID(t, h.ask(t, "create_key", args{"algorithm": "AES", "length": 256}))
				require.Equal(t, 1, s.count(t))
				remove(t, h.ask, id)
				require.Zero(t, s.count(t))
			})
		}
	}
}
