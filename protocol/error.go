package protocol

import (
	"context"
	"errors"
	"fmt"
)

// Kind is what a caller branches on.
type Kind string

// The kinds of errors, all there are.
const (
	NotFound       Kind = "not_found"       // no such object, or none that this context may know of
	Forbidden      Kind = "forbidden"       // the server, or the owner's project, says no
	InvalidRequest Kind = "invalid_request" // the request is wrong and will be wrong again
	Unsupported    Kind = "unsupported"     // the helper or the server does not know how
	Unavailable    Kind = "unavailable"     // no server answered, or not in time
	Config         Kind = "config"          // an operator has to mend the configuration
	Internal       Kind = "internal"        // a fault of the helper or of the server
)

// Error is a request's failure as the caller sees it. Message is for people and must hold no secret.
type Error struct {
	Kind          Kind
	Message       string
	Reason        string // the server's own reason by name, "" where it gave none
	Retryable     bool   // the same request may succeed later
	MaybeExecuted bool   // the operation may have taken effect anyway
	Server        string // host:port of the server that was asked, "" for none

	// SupportedVersions is there where the request's version is not.
	SupportedVersions []int

	ends bool // the input is broken: no further request can be found in it
}

// Error gives the kind and the message.
func (e *Error) Error() string { return string(e.Kind) + ": " + e.Message }

// status is what the error means for the exit status: the one place that decides it.
func (e *Error) status() Status {
	if e.ends || e.Kind == Config {
		return Broken
	}
	return Failed
}

func (e *Error) encode(b *buffer) {
	b.raw(`{"kind":`)
	b.text(string(e.Kind))
	b.raw(`,"message":`)
	b.text(e.Message)
	b.raw(`,"reason":`)
	b.textOrNull(e.Reason)
	b.raw(`,"retryable":`)
	b.bool(e.Retryable)
	b.raw(`,"maybe_executed":`)
	b.bool(e.MaybeExecuted)
	b.raw(`,"server":`)
	b.textOrNull(e.Server)
	if e.SupportedVersions != nil {
		b.raw(`,"supported_versions":`)
		list(b, e.SupportedVersions, func(v int, b *buffer) { b.numberOrNull(int64(v)) })
	}
	b.raw("}")
}

// asError is err as the caller sees it. An error of a context means that time ran out with the outcome unknown; any other
// that is no Error is internal.
func asError(err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Kind: Unavailable, Message: "no answer before the deadline", Retryable: true, MaybeExecuted: true}
	case errors.Is(err, context.Canceled):
		return &Error{Kind: Unavailable, Message: "the helper was told to stop", Retryable: true, MaybeExecuted: true}
	}
	return &Error{Kind: Internal, Message: err.Error()}
}

func invalid(format string, values ...any) *Error {
	return &Error{Kind: InvalidRequest, Message: fmt.Sprintf(format, values...)}
}

// broken is the error of input after which there is no going on.
func broken(format string, values ...any) *Error {
	e := invalid(format, values...)
	e.ends = true
	return e
}

// noJSON is about a byte of the input, the first being 1. It does not show the byte, which may be one of a secret.
func noJSON(at int64) *Error { return broken("the input is not JSON at byte %d", at) }

func required(field string) *Error { return invalid("%s: required", field) }

func badVersion() *Error {
	return &Error{
		Kind:              Unsupported,
		Message:           fmt.Sprintf("version is missing or unknown; supported: %d", Version),
		SupportedVersions: []int{Version},
	}
}

// unknownOp names the operation, of which a caller may have made anything: no more than fits a line is shown.
func unknownOp(op string) *Error {
	return &Error{Kind: Unsupported, Message: fmt.Sprintf("op %.40q is unknown; known: %s", op, operations)}
}
