package keymgr

import (
	"context"
	"encoding/json"
	"errors"

	"kmip-keymgr/internal/secret"
	"kmip-keymgr/kmip"
	"kmip-keymgr/protocol"
)

// Identities get Keystone's tokens for callers whose context has none. A manager that has them speaks to a server that
// understands the OpenStack credential (mode = integrated): every request carries the caller's; without one nothing is sent,
// except check's Query. The server decides what the caller may do, by asking Keystone.
//
// A context proves itself by its token. One without is, by what it has of Castellan's:
//
//   - a Token, or a KeystoneToken that names no scope: that token
//   - a KeystonePassword, or a KeystoneToken with a scope: the identity that Keystone gives for it
//   - a Password: nobody, since no Keystone knows it
//   - nothing, or no context at all: the service's own identity, where the operator allows for that
//
// A credential is nil for the service's own identity; otherwise it holds the fields of a credential of Castellan's that Keystone
// knows, and type, which is keystone_password or keystone_token.
type Identities interface {
	// Authenticate gives a context with a token and what Keystone says about it. The token stays the callee's. Errors are
	// of type *protocol.Error.
	Authenticate(ctx context.Context, credential map[string]string) (*protocol.Context, error)
	// Forget makes the next Authenticate get another token, since a server has refused this one.
	Forget(credential map[string]string)
}

// caller is who an operation is for.
type caller struct {
	*protocol.Context
	credential map[string]string
	lent       bool // the token is from Identities, for the credential
}

// identify finds out who the caller is, if anybody wants to know.
func (m *Manager) identify(ctx context.Context, who *protocol.Context) (c caller, err error) {
	if m.config.Identities == nil || who != nil && len(who.AuthToken) > 0 {
		return caller{Context: who}, nil
	}
	if who == nil {
		who = &protocol.Context{}
	}
	if c.credential, err = castellan(who.Castellan); err != nil {
		return c, err
	}
	if token := c.credential["token"]; token != "" && !exchanged(c.credential) {
		c.Context = &protocol.Context{AuthToken: secret.Bytes(token)}
	} else if c.Context, err = m.config.Identities.Authenticate(ctx, c.credential); err != nil {
		return c, err
	} else {
		c.lent = true
	}
	c.RequestID, c.GlobalRequestID = who.RequestID, who.GlobalRequestID
	c.RemoteAddress, c.Timestamp = who.RemoteAddress, who.Timestamp
	return c, nil
}

// castellan reads a credential of Castellan's, nil where there is none. Fields that are no texts do not matter here.
func castellan(text secret.Bytes) (map[string]string, error) {
	if len(text) == 0 {
		return nil, nil
	}
	var fields map[string]any
	if json.Unmarshal(text, &fields) != nil {
		return nil, invalid("context.castellan: not an object")
	}
	credential := map[string]string{}
	for name, value := range fields {
		if s, ok := value.(string); ok && s != "" {
			credential[name] = s
		}
	}
	return credential, checkCastellan(credential)
}

// checkCastellan tells what is wrong with a credential before anyone is asked about it.
func checkCastellan(credential map[string]string) error {
	switch kind := credential["type"]; kind {
	case "keystone_password":
		return nil
	case "keystone_token", "token":
		if credential["token"] == "" {
			return &protocol.Error{Kind: protocol.Forbidden, Message: "context.castellan: a " + kind + " without a token"}
		}
		return nil
	case "password":
		return &protocol.Error{Kind: protocol.Forbidden, Message: "context.castellan: a password that is not Keystone's says " +
			"nothing to a server that asks Keystone (mode = integrated in [kmip])"}
	}
	return invalid("context.castellan.type: must be keystone_password, keystone_token, token or password")
}

// exchanged reports whether Keystone is to give a token for a credential: for a KeystonePassword, and for a KeystoneToken one
// of another scope, as Castellan's own drivers do.
func exchanged(credential map[string]string) bool {
	switch credential["type"] {
	case "keystone_password":
		return true
	case "token":
		return false
	}
	for _, scope := range [...]string{"project_id", "project_name", "domain_id", "domain_name", "trust_id"} {
		if credential[scope] != "" {
			return true
		}
	}
	return false
}

// requestContext is what the server is told about the caller.
func requestContext(c *protocol.Context) *kmip.RequestContext {
	return &kmip.RequestContext{
		AuthToken: c.AuthToken, ServiceToken: c.ServiceToken,
		UserID: c.UserID, ProjectID: c.ProjectID, DomainID: c.DomainID, IsAdmin: c.IsAdmin, Roles: c.Roles,
		RequestID: c.RequestID, GlobalRequestID: c.GlobalRequestID, RemoteAddress: c.RemoteAddress,
		UserName: c.UserName, ProjectName: c.ProjectName,
		UserDomainID: c.UserDomainID, ProjectDomainID: c.ProjectDomainID, Timestamp: c.Timestamp,
	}
}

// speakFor makes every request carry the caller's credential, if the server understands it, until what it returns is called.
func (m *Manager) speakFor(c caller) (end func()) {
	if m.config.Identities == nil {
		return func() {}
	}
	credential := kmip.OpenStackCredential(requestContext(c.Context))
	m.client.As(&credential)
	return func() {
		m.client.As(nil)
		credential.Clear()
	}
}

// disowned sees to a token of ours that the server refused: the next request gets another one.
func (m *Manager) disowned(c caller, err error) error {
	var e *protocol.Error
	if c.lent && errors.As(err, &e) && e.Reason == kmip.AuthenticationNotSuccessful.String() {
		m.config.Identities.Forget(c.credential)
		e.Retryable = true
	}
	return err
}

// Words about what may be wrong where a server refuses a message as a whole.
const (
	notUnderstood = "; if the server does not know the OpenStack credential, mode in [kmip] must be standalone"
	refusedOrNot  = "; the server refuses this OpenStack credential, or knows none: check tells which, with tokenless = service or a context"
	oneCredential = "; in KMIP 1.0 and 1.1, which carry one credential, username and password leave no room for OpenStack's"
)

// blameCredential adds to the refusal of a whole message that the credential may be why: a server that does not know it
// answers in one of several ways. One that answers Authentication Not Successful most likely does know it, and the token may
// just have expired: the operator must not be told to do without.
func (m *Manager) blameCredential(e *protocol.Error, err error) {
	var refused *kmip.ResultError
	if m.config.Identities == nil || !errors.As(err, &refused) || (refused.Operation != 0 && refused.Reason != kmip.InvalidMessage) {
		return
	}
	switch refused.Reason {
	case kmip.InvalidMessage, kmip.InvalidField, kmip.FeatureNotSupported, kmip.UnknownTag, kmip.UnknownEnumeration, kmip.GeneralFailure:
		e.Kind = protocol.Config
		e.Message += notUnderstood + oneCredential
	case kmip.AuthenticationNotSuccessful:
		e.Message += refusedOrNot
	}
}
