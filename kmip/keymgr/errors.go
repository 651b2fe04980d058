package keymgr

import (
	"context"
	"errors"
	"fmt"

	"kmip-keymgr/kmip"
	"kmip-keymgr/protocol"
)

// fail is err as the protocol tells it, with the server it came from. A fault of the request's own came from none.
func (m *Manager) fail(err error) error {
	e := blamed(err)
	m.blameCredential(e, err)
	if e.Server == "" && (e.Kind != protocol.InvalidRequest || e.Reason != "") {
		e.Server = m.client.Server()
	}
	return e
}

// blamed is err as the protocol tells it, with what is to be said of an Activate.
func blamed(err error) *protocol.Error {
	e := asError(err)
	blameActivation(e, err)
	return e
}

const withoutActivation = "; activate = false in [kmip] does without"

// blameActivation adds to the refusal of an Activate, which nobody asked for by name, how to do without.
func blameActivation(e *protocol.Error, err error) {
	var refused *kmip.ResultError
	if errors.As(err, &refused) && refused.Operation == kmip.OpActivate && (e.Kind == protocol.Unsupported || e.Kind == protocol.Forbidden) {
		e.Message += withoutActivation
	}
}

// uncertain is an error that leaves it open what was carried out. It says what may have been.
type uncertain struct {
	error
	notes []string
}

func (d *uncertain) Unwrap() error { return d.error }

// inDoubt is the error of something that nobody knows the outcome of: the first attempt got no answer, a further one may
// have been refused, and what would tell could perhaps not be seen.
func inDoubt(first, refused, unseen error) error {
	d := &uncertain{error: first}
	if refused != nil {
		d = &uncertain{refused, []string{"an earlier attempt: " + first.Error()}}
	}
	if unseen != nil {
		d.notes = append(d.notes, "finding out what came of it: "+unseen.Error())
	}
	return d
}

// noting adds to an error that leaves the outcome open what may have happened.
func noting(err error, effect string) error { return keepDoubt(err, err, effect) }

// keepDoubt is an error, or none, after another one that left something open.
func keepDoubt(err, before error, effect string) error {
	if err == nil || !outcomeUnknown(before) {
		return err
	}
	return &uncertain{err, []string{effect}}
}

// asError is the one place that maps what went wrong to a kind.
func asError(err error) *protocol.Error {
	var told *protocol.Error
	var refused *kmip.ResultError
	var lost *kmip.TransportError
	var bad *kmip.BadResponseError
	var versions *kmip.VersionError
	var credentials *kmip.CredentialsError
	var doubt *uncertain
	switch {
	case errors.As(err, &doubt):
		return doubt.told()
	case errors.As(err, &told):
		return told
	case errors.As(err, &versions): // before the refusal that it may wrap
		return &protocol.Error{Kind: protocol.Config, Message: err.Error() + "; see kmip_version in [kmip]", Server: versions.Server}
	case errors.As(err, &refused):
		kind := kindOf(refused.Reason)
		return &protocol.Error{Kind: kind, Reason: refused.Reason.String(), Message: err.Error(), Retryable: kind == protocol.Unavailable}
	case errors.As(err, &lost):
		return lostError(lost)
	case errors.As(err, &bad):
		return &protocol.Error{Kind: protocol.Internal, Message: err.Error(), MaybeExecuted: bad.MaybeExecuted, Server: bad.Server}
	case errors.As(err, &credentials):
		return &protocol.Error{Kind: protocol.Config, Message: err.Error() + oneCredential, Server: credentials.Server}
	}
	return &protocol.Error{Kind: protocol.Internal, Message: err.Error()}
}

// told is the error with its notes behind it.
func (d *uncertain) told() *protocol.Error {
	e := asError(d.error)
	e.MaybeExecuted = true
	if e.Kind == protocol.NotFound { // which would be certain
		e.Kind, e.Retryable = protocol.Unavailable, true
	}
	for _, note := range d.notes {
		if note != "" {
			e.Message += "; " + note
		}
	}
	return e
}

// lostError is a conversation that broke. A handshake that cannot succeed is for the operator to mend.
func lostError(err *kmip.TransportError) *protocol.Error {
	e := &protocol.Error{Kind: protocol.Unavailable, Message: err.Error(), Retryable: true, MaybeExecuted: err.MaybeExecuted, Server: err.Server}
	var handshake *kmip.HandshakeError
	if errors.As(err, &handshake) {
		e.Kind, e.Retryable = protocol.Config, false
	}
	if errors.Is(err, context.DeadlineExceeded) && err.Sent && err.Server != "" {
		e.Message = fmt.Sprintf("no answer from %s before the deadline", err.Server)
	}
	return e
}

// kindOf is the kind of a refusal. A reason that is not here is a fault of the server's, or of what it was sent.
func kindOf(reason kmip.ResultReason) protocol.Kind {
	switch reason {
	case kmip.ItemNotFound, kmip.ObjectNotFound, kmip.ObjectDestroyed:
		return protocol.NotFound
	case kmip.PermissionDenied, kmip.AuthenticationNotSuccessful, kmip.NotAuthorised, kmip.AttestationRequired,
		kmip.AttestationFailed, kmip.Sensitive, kmip.NotExtractable, kmip.BadPassword, kmip.InvalidTicket:
		return protocol.Forbidden
	case kmip.InvalidField, kmip.MissingData, kmip.InvalidAttribute, kmip.InvalidAttributeValue, kmip.NumericRange,
		kmip.InvalidDataType, kmip.BadCryptographicParameters, kmip.IllegalOperation, kmip.IncompatibleCryptographicUsageMask,
		kmip.IllegalObjectType, kmip.InvalidObjectType, kmip.WrongKeyLifecycleState, kmip.NonUniqueNameAttribute,
		kmip.ConstraintViolation:
		return protocol.InvalidRequest
	case kmip.UnsupportedProtocolVersion, kmip.UnknownObjectGroup:
		return protocol.Config
	case kmip.OperationNotSupported, kmip.FeatureNotSupported, kmip.InvalidMessage, kmip.KeyFormatTypeNotSupported,
		kmip.KeyCompressionTypeNotSupported, kmip.ApplicationNamespaceNotSupported, kmip.UnsupportedAttribute,
		kmip.UnsupportedCryptographicParameters, kmip.ResponseTooLarge, kmip.ProtectionStorageUnavailable,
		kmip.PrivateProtectionStorageUnavailable, kmip.PublicProtectionStorageUnavailable:
		return protocol.Unsupported
	case kmip.ServerLimitExceeded, kmip.IdentityUnavailable:
		return protocol.Unavailable
	}
	return protocol.Internal
}

// notFound says the same of an object that is not there and of one that the caller may not know of.
func notFound(keyID string) *protocol.Error {
	return &protocol.Error{Kind: protocol.NotFound, Reason: kmip.ItemNotFound.String(), Message: "no key " + keyID}
}

// notEverywhere is the error where one host does not have the key, and another that may have it cannot be asked.
func notEverywhere(keyID string, unasked error) *protocol.Error {
	return &protocol.Error{
		Kind: protocol.Unavailable, Retryable: true,
		Message: "no key " + keyID + " at one host, and another that may have it cannot be asked: " + unasked.Error(),
	}
}

func isNotFound(err error) bool {
	var e *protocol.Error
	if errors.As(err, &e) {
		return e.Kind == protocol.NotFound
	}
	var refused *kmip.ResultError
	return errors.As(err, &refused) && kindOf(refused.Reason) == protocol.NotFound
}

func invalid(format string, values ...any) *protocol.Error {
	return &protocol.Error{Kind: protocol.InvalidRequest, Message: fmt.Sprintf(format, values...)}
}
