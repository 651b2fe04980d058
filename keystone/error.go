package keystone

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

// Failure says whom an error blames. It is the target for [errors.Is].
type Failure uint8

const (
	// TokenRefused: the subject's token, or the service token beside it, is not good. Asking again does not help.
	TokenRefused Failure = iota + 1
	// IdentityRefused: Keystone refuses this client's own credentials, or what they are used for. An operator can help.
	IdentityRefused
	// Unavailable: Keystone gave no usable answer, after all attempts. Asking later may help.
	Unavailable
)

// Error is the failure in words.
func (f Failure) Error() string {
	switch f {
	case TokenRefused:
		return "token refused"
	case IdentityRefused:
		return "identity refused"
	case Unavailable:
		return "unavailable"
	}
	return fmt.Sprintf("failure %d", uint8(f))
}

// Error is what [Client] returns. It is fit for logs.
type Error struct {
	Failure Failure
	Reason  string
	Status  int // Keystone's HTTP status, 0 where no answer of its own is at fault
	cause   error
}

// Error reads "keystone: token refused: ...".
func (e *Error) Error() string { return "keystone: " + e.Failure.Error() + ": " + e.Reason }

// Unwrap gives the Failure, and the caller's context's error where that ended the wait.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Failure}
	}
	return []error{e.Failure, e.cause}
}

// ConfigError is an option that cannot be honoured. It holds no secret.
type ConfigError struct {
	Option string // as keystonemiddleware or keystoneauth spells it
	Reason string
}

// Error reads "keystone: auth_url: ...".
func (e *ConfigError) Error() string { return "keystone: " + e.Option + ": " + e.Reason }

func refused(reason string) *Error { return &Error{Failure: TokenRefused, Reason: reason} }

// unreachable is for a request that got no answer. Of the error only what is known to hold nothing of the answer is told:
// net/http quotes a reply that it cannot parse.
func unreachable(ctx context.Context, err error) *Error {
	e := &Error{Failure: Unavailable, Reason: "the connection broke"}
	var (
		timeout     net.Error
		certificate *tls.CertificateVerificationError
		operation   *net.OpError
	)
	switch {
	case errors.Is(context.Cause(ctx), errPatience):
		e.Reason = "no answer in time"
	case ctx.Err() != nil:
		e.Reason, e.cause = "gave up waiting: "+ctx.Err().Error(), ctx.Err()
	case errors.Is(err, errUnusable):
		e.Reason = err.Error()
	case errors.Is(err, http.ErrSchemeMismatch):
		e.Reason = "it speaks http, and auth_url says https"
	case errors.As(err, &certificate):
		e.Reason = certificate.Error()
	case errors.As(err, &timeout) && timeout.Timeout():
		e.Reason = "no answer in time"
	case errors.As(err, &operation):
		e.Reason = operation.Error()
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		e.Reason = "the connection closed before the whole answer was there"
	}
	return e
}
