package keystone

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"kmip-keymgr/internal/secret"
)

const (
	// renewBefore is how long before its end our token is renewed, as in keystoneauth, so that it outlives the request
	// that it goes with. A token of less than twice that is renewed at half its life.
	renewBefore = 2 * time.Minute
	// refusalHolds is how long our identity is not tried again once Keystone refused it, since Keystone may lock a user
	// after too many wrong passwords.
	refusalHolds = 5 * time.Second
)

// Client is an identity at a Keystone. It keeps its own token and what it learned of others', and is for concurrent use.
type Client struct {
	config Config
	url    string
	http   *retryablehttp.Client
	cache  *cache

	// turn is a lock that a context can stop waiting for: it holds something while somebody has the fields below it, which are
	// about our own token.
	turn    chan struct{}
	own     *Issued
	renewAt time.Time // of the monotonic clock
	failure error     // of the last attempt
	failed  time.Time
}

// Issued is a token that Keystone gave us, and what it says. The text is the client's: do not clear it.
type Issued struct {
	Text secret.Bytes
	Token
}

// Open makes a client of the options that lookup gives: see [ReadConfig] and [New].
func Open(lookup Lookup, readFile func(path string) ([]byte, error)) (*Client, error) {
	config, err := ReadConfig(lookup, readFile)
	if err != nil {
		return nil, err
	}
	return New(config)
}

// New makes a client and sends nothing yet. Its errors are of type *[ConfigError]. The configuration's secrets are the
// client's from then on: they are needed for every renewal. [Client.Close] ends its idle connections.
func New(config *Config) (*Client, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	url, err := config.tokensURL()
	if err != nil {
		return nil, err
	}
	c := &Client{config: *config, url: url, cache: newCache(config.CacheTime), turn: make(chan struct{}, 1)}
	if c.config.Timeout <= 0 {
		c.config.Timeout = defaultTimeout
	}
	c.http, err = newHTTP(&c.config)
	return c, err
}

// Close closes the connections that nobody uses. Others close when their request ends.
func (c *Client) Close() { c.http.HTTPClient.CloseIdleConnections() }

// Authenticate gives a token of our identity that holds for [renewBefore] at least, or for half the life that Keystone
// gives it. Only one request for it is on its way at a time, and all who wait get what it brings. Errors are of type *[Error]:
// IdentityRefused or Unavailable.
func (c *Client) Authenticate(ctx context.Context) (*Issued, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	return c.renew(ctx, nil)
}

// Discard makes the next Authenticate ask for another token, since somebody refused the one it gave.
func (c *Client) Discard() {
	c.turn <- struct{}{}
	c.own = nil
	<-c.turn
}

// bound ends a call, whatever number of requests it is made of.
func (c *Client) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, callTimeouts*c.config.Timeout, errPatience)
}

// renew gives a token other than the stale one.
func (c *Client) renew(ctx context.Context, stale *Issued) (*Issued, error) {
	asked := time.Now()
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, unreachable(ctx, ctx.Err())
	}
	if c.own != nil && c.own != stale && time.Now().Before(c.renewAt) {
		return c.own, nil
	}
	if c.failureHolds(asked) {
		return nil, c.failure
	}
	err := c.login(ctx)
	if c.failure, c.failed = err, time.Now(); err != nil && ctx.Err() != nil {
		c.failure = nil // it says nothing to those whose context goes on
	}
	return c.own, err
}

// failureHolds: an attempt that failed while somebody waited for a turn failed for that one too.
func (c *Client) failureHolds(asked time.Time) bool {
	if c.failure == nil {
		return false
	}
	return c.failed.After(asked) || errors.Is(c.failure, IdentityRefused) && time.Since(c.failed) < refusalHolds
}

// login asks for a token (Identity API v3, POST /v3/auth/tokens) and keeps it.
func (c *Client) login(ctx context.Context) error {
	c.own = nil
	body, err := c.config.request()
	if err != nil {
		return &Error{Failure: IdentityRefused, Reason: "it cannot be written as JSON"}
	}
	defer clear(body)
	r, err := c.newRequest(ctx, body)
	if err != nil {
		return err
	}
	asked := time.Now()
	got, err := c.send(r)
	if err != nil {
		return err
	}
	if c.own, err = got.issued(); err == nil {
		c.renewAt = asked.Add(usefulLife(&c.own.Token, asked))
	}
	return err
}

// issued is the token of a reply to a request for one.
func (r *reply) issued() (*Issued, error) {
	switch {
	case r.status == http.StatusRequestTimeout || r.status == http.StatusTooManyRequests:
		return nil, r.unexpected()
	case r.status/100 == 4:
		return nil, &Error{Failure: IdentityRefused, Status: r.status, Reason: fmt.Sprintf("status %d when asking for a token", r.status)}
	case r.status != http.StatusCreated:
		return nil, r.unexpected()
	}
	t, err := parseToken(r.body)
	if err != nil {
		return nil, &Error{Failure: Unavailable, Status: r.status, Reason: err.Error()}
	}
	text, err := headerText(secret.Bytes(r.token))
	if err != nil {
		return nil, &Error{Failure: Unavailable, Status: r.status, Reason: "its answer has no token in X-Subject-Token"}
	}
	return &Issued{secret.Bytes(text), *t}, nil
}

// usefulLife goes by Keystone's clock, so that one that differs from ours does no harm.
func usefulLife(t *Token, asked time.Time) time.Duration {
	life := t.ExpiresAt.Sub(asked)
	if !t.IssuedAt.IsZero() {
		life = t.ExpiresAt.Sub(t.IssuedAt)
	}
	return life - min(renewBefore, life/2)
}
