package keystone

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

const (
	maxBody     = 1 << 20  // of an answer; one without the catalog has about 1 KiB
	maxHeaders  = 64 << 10 // of an answer
	maxConns    = 16       // at a time; further requests wait their turn
	idleTimeout = 30 * time.Second
	firstPause  = 100 * time.Millisecond // before the first retry, then doubling
	longestWait = 2 * time.Second

	accessRules = "OpenStack-Identity-Access-Rules" // without it Keystone gives 404 for tokens with access rules
)

// Errors as constants cost nothing at start-up.
type plainError string

func (e plainError) Error() string { return string(e) }

const (
	errUnusable plainError = "unusable answer"
	errPatience plainError = "out of patience" // why a call's own bound, and not the caller's, ended it
)

func unusable(what string) error { return fmt.Errorf("%w: it %s", errUnusable, what) }

// reply is what matters of Keystone's.
type reply struct {
	status int
	token  string // of X-Subject-Token
	body   []byte // of a success, empty otherwise
}

// newHTTP is a client that sends tokens to one place and tries again what is worth it. It logs nothing.
func newHTTP(c *Config) (*retryablehttp.Client, error) {
	config, err := tlsConfig(c)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{ // Proxy stays nil
		DialContext:            c.dial,
		TLSClientConfig:        config,
		MaxConnsPerHost:        maxConns,
		MaxIdleConnsPerHost:    maxConns,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaders,
		DisableCompression:     true,
	}
	return &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport:     transport,
			Timeout:       c.Timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		RetryMax:     max(0, c.Retries),
		RetryWaitMin: firstPause,
		RetryWaitMax: longestWait,
		CheckRetry:   worthRetrying,
		Backoff:      backoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}, nil
}

func tlsConfig(c *Config) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(c.CA) {
			return nil, &ConfigError{"cafile", "holds no certificate in PEM"}
		}
	}
	if c.Certificate == nil && c.Key == nil {
		return config, nil
	}
	pair, err := tls.X509KeyPair(c.Certificate, c.Key)
	if err != nil {
		return nil, &ConfigError{"certfile", "with keyfile: " + err.Error()}
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// worthRetrying: each of our requests is safe to repeat, so it is a matter of whether that may help. A Keystone that is
// slow is not asked again, which would make it slower.
func worthRetrying(ctx context.Context, r *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err == nil {
		return r.StatusCode >= 500 && r.StatusCode != http.StatusNotImplemented, nil
	}
	var (
		timeout     net.Error
		certificate *tls.CertificateVerificationError
	)
	hopeless := errors.Is(err, errUnusable) || errors.As(err, &certificate) || errors.As(err, &timeout) && timeout.Timeout()
	return !hopeless, nil
}

// backoff takes no Retry-After into account: it might ask for a day.
func backoff(least, most time.Duration, attempt int, _ *http.Response) time.Duration {
	return retryablehttp.DefaultBackoff(least, most, attempt, nil)
}

// send gives Keystone's reply, whatever its status, or an error that blames no one but Keystone.
func (c *Client) send(r *retryablehttp.Request) (*reply, error) {
	var got reply
	r.SetResponseHandler(func(h *http.Response) (err error) {
		got.body, err = readBody(h)
		return err
	})
	h, err := c.http.Do(r)
	if h != nil {
		h.Body.Close()
	}
	if err != nil {
		return nil, unreachable(r.Context(), err)
	}
	got.status, got.token = h.StatusCode, h.Header.Get("X-Subject-Token")
	return &got, nil
}

// readBody reads the body of a success. The body of an error is of no use here and never kept.
func readBody(h *http.Response) ([]byte, error) {
	if h.StatusCode/100 != 2 {
		_, err := io.Copy(io.Discard, io.LimitReader(h.Body, maxHeaders))
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(h.Body, maxBody+1))
	if len(body) > maxBody {
		return nil, unusable("is longer than 1 MiB")
	}
	return body, err
}

// newRequest is one to the tokens' address; a body makes it a POST.
func (c *Client) newRequest(ctx context.Context, body []byte) (*retryablehttp.Request, error) {
	method, content := http.MethodGet, any(nil)
	if body != nil {
		method, content = http.MethodPost, body
	}
	r, err := retryablehttp.NewRequestWithContext(ctx, method, c.url, content)
	if err != nil {
		return nil, unreachable(ctx, err)
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "kmip-keymgr")
	r.Header.Set(accessRules, "1.0")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return r, nil
}

// unexpected is for a status that says neither yes nor no.
func (r *reply) unexpected() *Error {
	e := &Error{Failure: Unavailable, Status: r.status, Reason: fmt.Sprintf("it answered with status %d", r.status)}
	if r.status/100 == 3 {
		e.Reason += ", and redirects are not followed: auth_url must be the final address"
	}
	return e
}
