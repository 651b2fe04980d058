package keymgr

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"syscall"

	"kmip-keymgr/kmip"
	"kmip-keymgr/protocol"
)

// This file is what check says an operator should do about an error, by the step where it came up.

// detailOf is an error beside a host's name, which it need not name again, and without advice, which stands elsewhere.
func detailOf(err error) string {
	var told *protocol.Error
	var lost *kmip.TransportError
	var handshake *kmip.HandshakeError
	switch {
	case errors.As(err, &told):
		return told.Message
	case errors.As(err, &handshake):
		return handshake.Err.Error()
	case errors.As(err, &lost):
		return lost.Err.Error()
	}
	return strings.TrimPrefix(err.Error(), "kmip: ")
}

func resolutionAdvice(err error) string {
	var unknown *net.DNSError
	if errors.As(err, &unknown) && unknown.IsNotFound {
		return "no resolver of this machine knows the name: correct host in [kmip], or make the name known (getent hosts NAME shows what it resolves to)"
	}
	return "this machine's resolver does not answer as it should: see /etc/resolv.conf"
}

func reachAdvice(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "nothing comes back: the host is down, or a firewall in between drops packets to that port"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: host and port in [kmip] must be those of the KMIP server, and that must run"
	}
	return "host in [kmip] must be one that this machine can reach"
}

// handshakeAdvice takes what the handshake's own error says, where it says anything.
func handshakeAdvice(err error) string {
	var handshake *kmip.HandshakeError
	var plain tls.RecordHeaderError
	var closed *kmip.ClosedError
	switch {
	case errors.As(err, &handshake):
		return handshake.Advice
	case errors.As(err, &plain):
		return "what listens there does not speak TLS: port in [kmip] must be that of KMIP over TLS"
	case errors.Is(err, context.DeadlineExceeded):
		return "something takes the connection and does not speak TLS, or is too busy: port in [kmip] must be that of KMIP over TLS"
	case errors.As(err, &closed):
		return "some servers hang up without a word where they know neither the client's certificate nor any suite offered " +
			"(certfile, tls_ciphers and tls_min_version in [kmip]); the server's log tells more"
	}
	return "host and port in [kmip] must be those of a KMIP server"
}

// queryAdvice is about a server that TLS is up with, and that does not answer the first question.
func queryAdvice(err error) string {
	var versions *kmip.VersionError
	var refused *kmip.ResultError
	var bad *kmip.BadResponseError
	var closed *kmip.ClosedError
	switch {
	case errors.As(err, &versions):
		return "kmip_version in [kmip] must be one that the server speaks, or auto"
	case errors.As(err, &refused) && refused.Reason == kmip.InvalidMessage:
		return "the server does not take the message: kmip_version in [kmip] may suit it better; its log tells more"
	case errors.As(err, &bad):
		return "what answers there does not speak KMIP as it should: host and port in [kmip] must be those of the KMIP server"
	case errors.Is(err, context.DeadlineExceeded):
		return "the server takes the request and does not answer: it is too busy or stuck, or timeout in [kmip] is too short"
	case errors.As(err, &closed):
		return "the server hangs up on requests: some do so where they do not know the client; its log tells more"
	}
	return "the server's log tells more"
}

// isAboutCaller reports whether a refusal is about who asks, by a server that has understood what is asked.
func isAboutCaller(err error) bool {
	var refused *kmip.ResultError
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Reason {
	case kmip.AuthenticationNotSuccessful, kmip.NotAuthorised, kmip.PermissionDenied, kmip.IdentityUnavailable:
		return true
	}
	return false
}

// refusedAdvice is about a server that does not take the credential. optional tells that it answers without any.
func (c *credential) refusedAdvice(err error, authenticated, optional bool) string {
	var several *kmip.CredentialsError
	switch {
	case errors.As(err, &several):
		return "leave out username and password in [kmip], or speak a later version with the server (kmip_version)"
	case errors.Is(err, kmip.IdentityUnavailable):
		return "the server cannot ask Keystone now: its own way to Keystone has to be mended"
	case c.integrated && optional:
		return "the server answers without the OpenStack credential and not with it: if it does not know that credential, mode in [kmip] must be standalone"
	case c.integrated && !isAboutCaller(err):
		return "if the server does not know the OpenStack credential, mode in [kmip] must be standalone"
	case c.integrated && c.lent:
		return "Keystone has just given this token: the server must ask the same Keystone about it"
	case c.integrated:
		return "the token may have expired or been revoked: ask with a new one; and the server must ask the Keystone that gave it"
	case authenticated:
		return "username and password in [kmip] must be those of a user of the server's, which may have to fit the certificate"
	}
	return "the server must accept the certificate in certfile as a client's, or wants username and password in [kmip], or the OpenStack " +
		"credential (mode = integrated)"
}

// asksKeystone is about a server that does not refuse a token of nobody's.
const asksKeystone = "the server must ask Keystone about the token in the OpenStack credential (docs/credential.md); if it does not " +
	"know that credential, mode in [kmip] must be standalone"

// identityAdvice is about a caller who cannot be found out.
func identityAdvice(err error, credential map[string]string) string {
	var e *protocol.Error
	switch errors.As(err, &e); {
	case e == nil:
		return "the context must say who asks"
	case e.Kind == protocol.Config:
		return "the section that is named must hold what Keystone takes"
	case e.Kind == protocol.Unavailable:
		return "Keystone must answer at auth_url"
	case e.Kind == protocol.Forbidden && credential == nil:
		return "mode = integrated asks for the caller's token: give a context that has one, or set tokenless = service in [kmip] and fill in [kmip_service_user]"
	}
	return "the context must have a token, or one of Castellan's credentials that Keystone takes"
}
