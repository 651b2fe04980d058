package keystone

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRetries counts attempts and the time they take: 0.1, 0.2 and 0.4 s between four of them.
func TestRetries(t *testing.T) {
	for name, row := range map[string]struct {
		status, times int
		want          Failure // 0 for success
		attempts      int
	}{
		"once":        {503, 1, 0, 2},
		"three times": {500, 3, 0, 4},
		"always":      {502, 9, Unavailable, 4},
		"never 4xx":   {429, 1, Unavailable, 1},
		"never 501":   {501, 1, Unavailable, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, attempts := newFake(t), 0
				f.know("alice", tokenJSON("alice", time.Now().Add(time.Hour), scoped))
				f.onAsk = func(w http.ResponseWriter, _ *http.Request, _ string) bool {
					attempts++
					w.Header().Set("Retry-After", "86400")
					if attempts <= row.times {
						fail(w, row.status)
					}
					return attempts <= row.times
				}
				start := time.Now()
				_, err := f.client(t).Validate(t.Context(), bytesOf("alice"), nil)
				if row.want == 0 {
					require.NoError(t, err)
				} else {
					requireFailure(t, row.want, err)
				}
				require.Equal(t, row.attempts, attempts)
				require.Equal(t, time.Duration(1<<(attempts-1)-1)*firstPause, time.Since(start))
				f.server.Close()
			})
		})
	}
}

// TestPauses: a Keystone that is down would hold up requests for minutes, or be asked again against the operator's will.
func TestPauses(t *testing.T) {
	for retries, want := range map[int]time.Duration{-1: 0, 0: 0, 1: 100 * time.Millisecond, 8: (100+200+400+800+1600)*time.Millisecond + 3*longestWait} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			f.onLogin = func(w http.ResponseWriter, _ *http.Request) bool { fail(w, 503); return true }
			start := time.Now()
			_, err := f.client(t, func(c *Config) { c.Retries = retries }).Authenticate(t.Context())
			requireFailure(t, Unavailable, err)
			require.Equal(t, want, time.Since(start))
			logins, _ := f.counts()
			require.Equal(t, max(0, retries)+1, logins)
			f.server.Close()
		})
	}
}

// TestNoTimeout: a timeout of 0 in the configuration would end every request before it begins, or none.
func TestNoTimeout(t *testing.T) {
	for _, timeout := range []time.Duration{0, -time.Second} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			c := f.client(t, func(c *Config) { c.Timeout = timeout })
			_, err := c.Authenticate(t.Context())
			require.NoError(t, err)
			f.onAsk = func(_ http.ResponseWriter, r *http.Request, _ string) bool { <-r.Context().Done(); return true }
			start := time.Now()
			_, err = c.Validate(t.Context(), bytesOf("alice"), nil)
			requireFailure(t, Unavailable, err)
			require.Equal(t, defaultTimeout, time.Since(start))
			f.server.Close()
		})
	}
}

// TestConnections: a busy server would open one to Keystone for every request, or never close them.
func TestConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		var dials, asking, most atomic.Int32
		c := f.client(t, func(c *Config) {
			c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				dials.Add(1)
				return f.network.dial(ctx, network, address)
			}
		})
		_, err := c.Authenticate(t.Context())
		require.NoError(t, err)
		f.onAsk = func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			if now := asking.Add(1); now > most.Load() {
				most.Store(now)
			}
			time.Sleep(time.Second)
			asking.Add(-1)
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		crowd := func() {
			var wait sync.WaitGroup
			for range 40 {
				wait.Go(func() {
					_, err := c.Validate(t.Context(), bytesOf("alice"), nil)
					requireFailure(t, IdentityRefused, err)
				})
			}
			wait.Wait()
		}
		crowd()
		crowd()
		require.EqualValues(t, maxConns, most.Load())
		require.EqualValues(t, maxConns, dials.Load(), "they are used again")
		time.Sleep(idleTimeout + time.Second)
		crowd()
		require.EqualValues(t, 2*maxConns, dials.Load(), "none is kept that nobody uses")
		f.server.Close()
	})
}

// TestHugeAnswers: a Keystone gone mad would take all the memory.
func TestHugeAnswers(t *testing.T) {
	for size, want := range map[int64]error{1 << 20: nil, 1<<20 + 1: errUnusable, 2 << 20: errUnusable} {
		end := io.EOF
		if size == 2<<20 {
			end = errors.New("read on")
		}
		body := io.MultiReader(io.LimitReader(spaces{}, size), iotest.ErrReader(end))
		_, err := readBody(&http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(body)})
		require.ErrorIs(t, err, want, size)
	}
	transport := newFake(t).client(t).http.HTTPClient.Transport.(*http.Transport)
	require.LessOrEqual(t, transport.MaxResponseHeaderBytes, int64(1<<20))
}

// spaces never end.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) { return copy(p, strings.Repeat(" ", len(p))), nil }

// TestSlowKeystone is given one attempt, and a call of several requests its own bound.
func TestSlowKeystone(t *testing.T) {
	for name, row := range map[string]struct {
		login, ask, body time.Duration
		want             time.Duration
		blame            Failure
	}{
		"slow login":             {time.Hour, 0, 0, 10 * time.Second, Unavailable},
		"slow validation":        {0, time.Hour, 0, 10 * time.Second, Unavailable},
		"slow body":              {0, 0, time.Hour, 10 * time.Second, Unavailable},
		"all of them a bit slow": {9 * time.Second, 9 * time.Second, 0, 27 * time.Second, TokenRefused},
		"too many a bit slow":    {9900 * time.Millisecond, 9 * time.Second, 9 * time.Second, 30 * time.Second, Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				sleep := func(r *http.Request, d time.Duration) {
					select {
					case <-time.After(d):
					case <-r.Context().Done():
					}
				}
				f.onLogin = func(_ http.ResponseWriter, r *http.Request) bool { sleep(r, row.login); return false }
				f.onAsk = func(w http.ResponseWriter, r *http.Request, subject string) bool {
					sleep(r, row.ask)
					if row.body > 0 {
						w.WriteHeader(map[bool]int{true: 404, false: 200}[row.login > 0])
						io.WriteString(w, " ")
						http.NewResponseController(w).Flush()
						sleep(r, row.body)
					}
					return row.body > 0
				}
				start := time.Now()
				_, err := f.client(t, func(c *Config) { c.Retries = 0 }).Validate(t.Context(), bytesOf("alice"), nil)
				requireFailure(t, row.blame, err)
				require.LessOrEqual(t, time.Since(start), row.want)
				f.server.Close()
			})
		})
	}
}

func TestCallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.onAsk = func(w http.ResponseWriter, _ *http.Request, _ string) bool { fail(w, 503); return true }
		ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond) // in the middle of a pause
		defer cancel()
		_, err := f.client(t).Validate(ctx, bytesOf("alice"), nil)
		requireFailure(t, Unavailable, err)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		f.server.Close()
	})
}

// wire is a server that does to its connections what HTTP servers should not: it reads a request and hands the connection
// over, numbered from 0.
func wire(t *testing.T, do func(n int, c net.Conn, r *http.Request)) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for n := 0; ; n++ {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				do(n, c, r)
			}
			c.Close()
		}
	}()
	return "http://" + listener.Addr().String()
}

func reset(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }

// writeAnswer writes a whole answer that says nothing about closing, and the connection closes after it: uwsgi's way.
func writeAnswer(c net.Conn, r *http.Request) {
	status, body := "200 OK", tokenJSON("alice", time.Now().Add(time.Hour), scoped)
	if r.Method == http.MethodPost {
		status = "201 CREATED\r\nX-Subject-Token: own"
	}
	fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
}

func TestBrokenConnections(t *testing.T) {
	quoted := "gAAAA-" + secretWords
	for name, row := range map[string]struct {
		do   func(n int, c net.Conn, r *http.Request)
		want Failure
	}{
		"closed after each answer": {func(_ int, c net.Conn, r *http.Request) { writeAnswer(c, r) }, 0},
		"reset once":               {func(n int, c net.Conn, r *http.Request) { once(n, c, r, reset) }, 0},
		"closed once":              {func(n int, c net.Conn, r *http.Request) { once(n, c, r, func(net.Conn) {}) }, 0},
		"cut in the body once": {func(n int, c net.Conn, r *http.Request) {
			once(n, c, r, func(c net.Conn) { io.WriteString(c, "HTTP/1.1 201 CREATED\r\nContent-Length: 900\r\n\r\n{") })
		}, 0},
		"reset always":  {func(_ int, c net.Conn, _ *http.Request) { reset(c) }, Unavailable},
		"closed always": {func(int, net.Conn, *http.Request) {}, Unavailable},
		"cut in the body": {func(_ int, c net.Conn, _ *http.Request) {
			io.WriteString(c, "HTTP/1.1 201 CREATED\r\nContent-Length: 900\r\n\r\n{")
		}, Unavailable},
		"no HTTP":          {func(_ int, c net.Conn, _ *http.Request) { io.WriteString(c, quoted+"\r\n\r\n") }, Unavailable},
		"a broken header":  {func(_ int, c net.Conn, _ *http.Request) { io.WriteString(c, "HTTP/1.1 200 OK\r\n"+quoted+"\r\n\r\n") }, Unavailable},
		"a strange status": {func(_ int, c net.Conn, _ *http.Request) { io.WriteString(c, "HTTP/1.1 "+quoted+"\r\n\r\n") }, Unavailable},
		"endless headers":  {func(_ int, c net.Conn, _ *http.Request) { endless(c, "HTTP/1.1 201 OK\r\n", "X-A: "+quoted+"\r\n") }, Unavailable},
		"an endless body":  {func(_ int, c net.Conn, _ *http.Request) { endless(c, "HTTP/1.1 201 OK\r\n\r\n", quoted) }, Unavailable},
		"an endless error": {func(_ int, c net.Conn, _ *http.Request) { endless(c, "HTTP/1.1 401 OK\r\n\r\n", quoted) }, IdentityRefused},
		"compressed beyond": {func(_ int, c net.Conn, _ *http.Request) {
			endless(c, "HTTP/1.1 201 OK\r\nContent-Encoding: gzip\r\n\r\n", quoted)
		}, Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := basicConfig()
			config.AuthURL = wire(t, row.do)
			c, err := New(config)
			require.NoError(t, err)
			defer c.Close()
			_, err = c.Validate(t.Context(), bytesOf("alice"), nil)
			if row.want == 0 {
				require.NoError(t, err)
				return
			}
			requireFailure(t, row.want, err)
		})
	}
}

// once breaks the first two connections and lets the others be.
func once(n int, c net.Conn, r *http.Request, breaks func(net.Conn)) {
	if n < 2 {
		breaks(c)
		return
	}
	writeAnswer(c, r)
}

func endless(c net.Conn, start, more string) {
	io.WriteString(c, start)
	more = strings.Repeat(more, 1000)
	for range 1000 {
		if _, err := io.WriteString(c, more); err != nil {
			return
		}
	}
}

func TestNobodyListens(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	listener.Close()
	for _, url := range []string{"http://" + listener.Addr().String(), "http://keystone.invalid:5000"} {
		config := basicConfig()
		config.AuthURL, config.Retries = url, 1
		c, err := New(config)
		require.NoError(t, err)
		_, err = c.Authenticate(t.Context())
		e := requireFailure(t, Unavailable, err)
		require.Contains(t, e.Reason, "dial tcp")
	}
}

// TestTokensGoNowhereElse: neither where a redirect points nor to a proxy.
func TestTokensGoNowhereElse(t *testing.T) {
	var strays atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strays.Add(1) }))
	defer elsewhere.Close()
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, elsewhere.URL)
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		f := newFake(t)
		redirect := func(w http.ResponseWriter) bool {
			w.Header().Set("Location", elsewhere.URL+"/v3/auth/tokens?nocatalog")
			fail(w, status)
			return true
		}
		f.onAsk = func(w http.ResponseWriter, _ *http.Request, _ string) bool { return redirect(w) }
		c := f.client(t)
		_, err := c.Validate(t.Context(), bytesOf("alice"), nil)
		e := requireFailure(t, Unavailable, err)
		require.Equal(t, status, e.Status)
		require.Contains(t, e.Reason, "redirects are not followed")
		require.NotContains(t, e.Reason, elsewhere.URL)
		f.onLogin = func(w http.ResponseWriter, _ *http.Request) bool { return redirect(w) }
		_, err = f.client(t).Authenticate(t.Context())
		requireFailure(t, Unavailable, err)
	}
	require.Zero(t, strays.Load())
	require.Nil(t, newFake(t).client(t).http.HTTPClient.Transport.(*http.Transport).Proxy)
}

// authority makes certificates for one test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.key, a.cert = a.certificate(x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) certificate(template x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore = time.Now().Add(-2 * time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = &template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, &key.PublicKey, signer)
	require.NoError(a.t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(a.t, err)
	return key, cert
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func (a *authority) server(name string, until time.Time) tls.Certificate {
	key, cert := a.certificate(x509.Certificate{DNSNames: []string{name}, NotAfter: until})
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func (a *authority) client() (chain, key []byte) {
	private, cert := a.certificate(x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	der, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(a.t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func TestHTTPS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	const name = "keystone.test"
	good := ca.server(name, time.Time{})
	for label, row := range map[string]struct {
		config *tls.Config
		change func(*Config)
		want   Failure
		says   string
		dials  int // where it matters: what TLS refuses is not tried again
	}{
		"good":           {&tls.Config{Certificates: []tls.Certificate{good}}, nil, 0, "", 0},
		"another CA":     {&tls.Config{Certificates: []tls.Certificate{other.server(name, time.Time{})}}, nil, Unavailable, "unknown authority", 1},
		"another name":   {&tls.Config{Certificates: []tls.Certificate{ca.server("evil.test", time.Time{})}}, nil, Unavailable, "not keystone.test", 1},
		"expired":        {&tls.Config{Certificates: []tls.Certificate{ca.server(name, time.Now().Add(-time.Hour))}}, nil, Unavailable, "expired", 1},
		"TLS 1.1":        {&tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, nil, Unavailable, "", 0},
		"the system CAs": {&tls.Config{Certificates: []tls.Certificate{good}}, func(c *Config) { c.CA = nil }, Unavailable, "unknown authority", 1},
		"a client certificate": {
			&tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool(ca)},
			func(c *Config) { chain, key := ca.client(); c.Certificate, c.Key = chain, key }, 0, "", 0,
		},
		"no client certificate": {
			&tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool(ca)},
			nil, Unavailable, "", 0,
		},
		"http in truth": {&tls.Config{}, nil, Unavailable, "it speaks http", 0},
	} {
		t.Run(label, func(t *testing.T) {
			f := newFake(t)
			secure := http.Server{Handler: f, ErrorLog: log.New(io.Discard, "", 0)}
			network := &memory{conns: make(chan net.Conn), closed: make(chan struct{})}
			listener := net.Listener(network)
			if row.config.Certificates != nil {
				listener = tls.NewListener(network, row.config)
			}
			go secure.Serve(listener)
			defer secure.Close()
			dials := 0
			c := f.client(t, func(c *Config) {
				c.AuthURL, c.CA, c.Retries = "https://"+name, ca.pem(), 1
				c.dial = func(ctx context.Context, n, a string) (net.Conn, error) { dials++; return network.dial(ctx, n, a) }
				if row.change != nil {
					row.change(c)
				}
			})
			_, err := c.Authenticate(t.Context())
			if row.want == 0 {
				require.NoError(t, err)
				return
			}
			e := requireFailure(t, row.want, err)
			require.Contains(t, e.Reason, row.says)
			if row.dials > 0 {
				require.Equal(t, row.dials, dials)
			}
		})
	}
}

func pool(a *authority) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}
