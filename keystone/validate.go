package keystone

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"kmip-keymgr/internal/secret"
)

// Validate tells who is behind a subject's token. service is the token of the service that asks on the subject's behalf,
// or nil. The package's documentation says what is accepted, and for how long. Whether the token's scope and roles permit
// anything is for the caller to say: an unscoped token is valid too. Errors are of type *[Error].
func (c *Client) Validate(ctx context.Context, subject, service secret.Bytes) (*Token, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	trusted, err := c.trusts(ctx, service)
	if err != nil {
		return nil, blame("the service's token", err)
	}
	t, err := c.check(ctx, subject, trusted)
	if err == nil && t.restricted && !trusted {
		err = refused("its access rules cannot permit what is not HTTP")
	}
	if err != nil {
		return nil, blame("the subject's token", err)
	}
	return t, nil
}

// blame says in a refusal which of two tokens it is about.
func blame(which string, err error) error {
	var e *Error
	if !errors.As(err, &e) || e.Failure != TokenRefused {
		return err
	}
	named := *e
	named.Reason = which + ": " + e.Reason
	return &named
}

// trusts reports whether a service token comes with the request. One that is not valid is an error.
func (c *Client) trusts(ctx context.Context, service secret.Bytes) (bool, error) {
	if len(service) == 0 {
		return false, nil
	}
	t, err := c.check(ctx, service, false)
	if err != nil {
		return false, err
	}
	trusted := t.hasRole(c.config.ServiceRoles...) && !t.restricted
	if !trusted && c.config.ServiceRolesRequired {
		return false, refused("it has none of the roles in service_token_roles")
	}
	return trusted, nil
}

// check validates one token, from the cache or by Keystone. expired says whether an expired one will do.
func (c *Client) check(ctx context.Context, token secret.Bytes, expired bool) (*Token, error) {
	text, err := headerText(token)
	if err != nil {
		return nil, err
	}
	d := c.cache.digest(text)
	if t := c.cache.lookup(d, expired); t != nil {
		return t, nil
	}
	asked := time.Now()
	t, err := c.ask(ctx, text, expired)
	switch {
	case err != nil:
		return nil, err
	case t.bound:
		return nil, refused("it is bound to something that is not seen here")
	case t.expired(time.Now()) && !expired:
		return nil, refused("it is expired by this machine's clock")
	}
	c.cache.store(d, t, asked)
	return t, nil
}

// ask has Keystone validate a token. Where the answer may be due to our own token, it is asked again with a new one.
func (c *Client) ask(ctx context.Context, token string, expired bool) (*Token, error) {
	own, err := c.renew(ctx, nil)
	if err != nil {
		return nil, err
	}
	got, err := c.get(ctx, own, token, expired)
	if err != nil {
		return nil, err
	}
	lost, err := c.ownTokenExpired(ctx, own, got.status)
	if err != nil {
		return nil, err
	}
	if lost {
		if own, err = c.renew(ctx, own); err == nil {
			got, err = c.get(ctx, own, token, expired)
		}
		if err != nil {
			return nil, err
		}
	}
	return got.verdict()
}

// ownTokenExpired tells from the status of an answer whether our own token no longer holds. 401 says so; 404 is also what is
// given for a bad subject, so that our token is then asked about itself, which Keystone lets every token do.
func (c *Client) ownTokenExpired(ctx context.Context, own *Issued, status int) (bool, error) {
	if status != http.StatusNotFound {
		return status == http.StatusUnauthorized, nil
	}
	got, err := c.get(ctx, own, string(own.Text), false)
	if err != nil {
		return false, err
	}
	switch got.status {
	case http.StatusOK:
		return false, nil
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return true, nil
	}
	return false, got.unexpected()
}

// get sends a token for validation (Identity API v3, GET /v3/auth/tokens). It is GET since Keystone's default policy
// forbids HEAD to services.
func (c *Client) get(ctx context.Context, own *Issued, token string, expired bool) (*reply, error) {
	r, err := c.newRequest(ctx, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("X-Auth-Token", string(own.Text))
	r.Header.Set("X-Subject-Token", token)
	if expired {
		r.URL.RawQuery += "&allow_expired=1"
	}
	return c.send(r)
}

// verdict reads the answer to a validation, our own token being good.
func (r *reply) verdict() (*Token, error) {
	switch r.status {
	case http.StatusOK:
		t, err := parseToken(r.body)
		if err != nil {
			return nil, &Error{Failure: Unavailable, Status: r.status, Reason: err.Error()}
		}
		return t, nil
	case http.StatusNotFound:
		e := refused("Keystone does not accept it")
		e.Status = r.status
		return nil, e
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, &Error{Failure: IdentityRefused, Status: r.status, Reason: fmt.Sprintf("status %d when asking about a token", r.status)}
	}
	return nil, r.unexpected()
}
