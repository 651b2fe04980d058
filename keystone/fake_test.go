package keystone

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"kmip-keymgr/internal/secret"
	"kmip-keymgr/keystone/keystonetest"
)

// secretWords are in every token and password of these tests: no error may hold them.
const secretWords = "5ecret"

// shared is the Keystone that the tests share, started by the first that needs it.
var shared struct {
	once   sync.Once
	server *keystonetest.Server
	dir    string
	err    error
}

func TestMain(m *testing.M) {
	status := m.Run()
	if shared.server != nil {
		shared.server.Stop()
	}
	os.RemoveAll(shared.dir)
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// memory is a network without a wire, which a synctest bubble can hold.
type memory struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { m.once.Do(func() { close(m.closed) }); return nil }
func (m *memory) Addr() net.Addr { return &net.UnixAddr{} }

func (m *memory) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case m.conns <- theirs:
		return ours, nil
	case <-m.closed:
		return nil, &net.OpError{Op: "dial", Net: "memory", Err: io.ErrClosedPipe}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fake is a scripted Keystone. Without a script it issues own-5ecret-1, own-5ecret-2 and so on, each for an hour, and knows
// the tokens in known.
type fake struct {
	network *memory
	server  *http.Server

	mu     sync.Mutex
	logins int
	asked  []string          // subjects, with ?allow_expired after them where it was given
	known  map[string]string // subject to the body of the answer
	own    string            // the last one issued
	life   time.Duration

	onLogin func(w http.ResponseWriter, r *http.Request) bool // true where it answered
	onAsk   func(w http.ResponseWriter, r *http.Request, subject string) bool
}

func newFake(t *testing.T) *fake {
	f := &fake{
		network: &memory{conns: make(chan net.Conn), closed: make(chan struct{})},
		known:   map[string]string{}, life: time.Hour,
	}
	f.server = &http.Server{Handler: f}
	go f.server.Serve(f.network)
	t.Cleanup(func() { f.server.Close() })
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v3/auth/tokens" || !r.URL.Query().Has("nocatalog") || r.Header.Get(accessRules) != "1.0" {
		http.Error(w, "not how we ask: "+r.URL.String(), http.StatusTeapot)
		return
	}
	switch {
	case r.Method != http.MethodPost:
		f.ask(w, r)
	case r.Header.Get("Content-Type") != "application/json":
		http.Error(w, "not JSON", http.StatusBadRequest) // as Keystone says
	default:
		f.login(w, r)
	}
}

func (f *fake) login(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body) // else the server would not notice that the client left
	f.mu.Lock()
	f.logins++
	n := f.logins
	f.mu.Unlock()
	if f.onLogin != nil && f.onLogin(w, r) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.own = fmt.Sprintf("own-%s-%d", secretWords, n)
	w.Header().Set("X-Subject-Token", f.own)
	w.WriteHeader(http.StatusCreated)
	io.WriteString(w, tokenJSON("me", time.Now().Add(f.life), `"roles":[{"name":"service"}]`))
}

func (f *fake) ask(w http.ResponseWriter, r *http.Request) {
	subject := r.Header.Get("X-Subject-Token")
	f.mu.Lock()
	label := subject
	if r.URL.Query().Has("allow_expired") {
		label += "?allow_expired"
	}
	f.asked = append(f.asked, label)
	own, body := f.own, f.known[label]
	if body == "" {
		body = f.known[subject]
	}
	if subject == own {
		body = tokenJSON("me", time.Now().Add(time.Hour), "")
	}
	f.mu.Unlock()
	switch {
	case f.onAsk != nil && f.onAsk(w, r, subject):
	case r.Header.Get("X-Auth-Token") != own:
		fail(w, http.StatusUnauthorized)
	case body == "":
		fail(w, http.StatusNotFound)
	default:
		io.WriteString(w, body)
	}
}

// fail answers as Keystone may: with a token in the body.
func fail(w http.ResponseWriter, status int) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"code":%d,"message":"no role: gAAAA-%s"}}`, status, secretWords)
}

func (f *fake) know(subject, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known[subject] = body
}

func (f *fake) counts() (logins, asked int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.logins, len(f.asked)
}

// tokenJSON is Keystone's answer; more is further fields of the token.
func tokenJSON(user string, expires time.Time, more string) string {
	if more != "" {
		more = "," + more
	}
	at := func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }
	return fmt.Sprintf(`{"token":{"methods":["password"],"user":{"domain":{"id":"default","name":"Default"},"id":%q,"name":%q,
		"password_expires_at":null},"audit_ids":["x"],"issued_at":%q,"expires_at":%q%s}}`,
		user+"-id", user, at(time.Now()), at(expires), more)
}

func basicConfig() *Config {
	return &Config{
		AuthURL: "http://keystone.test:5000/v3", Username: "kmip", UserDomainName: "Default",
		Password: secret.Bytes("pass-" + secretWords), ProjectName: "service", ProjectDomainName: "Default",
		Timeout: 10 * time.Second, Retries: 3, CacheTime: 5 * time.Minute, ServiceRoles: []string{"service"},
	}
}

func (f *fake) client(t *testing.T, change ...func(*Config)) *Client {
	t.Helper()
	config := basicConfig()
	config.dial = f.network.dial
	for _, do := range change {
		do(config)
	}
	c, err := New(config)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// requireFailure checks whom an error blames, and that it can be logged.
func requireFailure(t *testing.T, want Failure, err error) *Error {
	t.Helper()
	require.ErrorIs(t, err, want)
	var e *Error
	require.ErrorAs(t, err, &e)
	for _, other := range []Failure{TokenRefused, IdentityRefused, Unavailable} {
		require.Equal(t, other == want, e.Failure == other)
	}
	text := fmt.Sprintf("%v %+v %#v", err, err, err)
	require.NotContains(t, text, secretWords)
	require.NotContains(t, text, "gAAAA")
	require.True(t, strings.HasPrefix(err.Error(), "keystone: "+want.Error()+": "), err.Error())
	return e
}

func compact(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, json.Compact(&b, []byte(text)), text)
	return b.String()
}
