package kmip

import (
	"kmip-keymgr/internal/secret"
	"kmip-keymgr/ttlv"
)

// OpenStack is the type of the credential that carries an OpenStack request context, one of the values left to extensions
// (section 9.1.3.2.1). docs/credential.md specifies it.
const OpenStack CredentialType = 0x80000001

// The tags of the credential's fields, in the extension range (section 9.1.3.1).
const (
	tagAuthToken ttlv.Tag = 0x540001 + iota
	tagServiceToken
	tagUserID
	tagProjectID
	tagDomainID
	tagIsAdmin
	tagRole
	tagRequestID
	tagGlobalRequestID
	tagRemoteAddress
	tagUserName
	tagProjectName
	tagUserDomainID
	tagProjectDomainID
	tagTimestamp
)

// RequestContext is the value of an OpenStack credential: who asks, and the tokens that prove it. Only the tokens prove
// anything. What is empty is left out.
type RequestContext struct {
	AuthToken, ServiceToken secret.Bytes

	UserID, ProjectID, DomainID string
	IsAdmin                     *bool // nil where it was not said
	Roles                       []string

	RequestID, GlobalRequestID, RemoteAddress, UserName, ProjectName string
	UserDomainID, ProjectDomainID, Timestamp                         string
}

func (r *RequestContext) fields(c *ttlv.Coder) {
	secretText(c, tagAuthToken, &r.AuthToken)
	secretText(c, tagServiceToken, &r.ServiceToken)
	text(c, tagUserID, &r.UserID)
	text(c, tagProjectID, &r.ProjectID)
	text(c, tagDomainID, &r.DomainID)
	if c.Present(tagIsAdmin, r.IsAdmin != nil) {
		if r.IsAdmin == nil {
			r.IsAdmin = new(bool)
		}
		c.Bool(tagIsAdmin, r.IsAdmin)
	}
	ttlv.List(c, tagRole, &r.Roles, (*ttlv.Coder).Text)
	text(c, tagRequestID, &r.RequestID)
	text(c, tagGlobalRequestID, &r.GlobalRequestID)
	text(c, tagRemoteAddress, &r.RemoteAddress)
	text(c, tagUserName, &r.UserName)
	text(c, tagProjectName, &r.ProjectName)
	text(c, tagUserDomainID, &r.UserDomainID)
	text(c, tagProjectDomainID, &r.ProjectDomainID)
	text(c, tagTimestamp, &r.Timestamp)
}

func text(c *ttlv.Coder, tag ttlv.Tag, v *string) { ttlv.Optional(c, tag, v, (*ttlv.Coder).Text) }

// OpenStackCredential is a credential that carries the context. It holds a copy of the tokens.
func OpenStackCredential(r *RequestContext) Credential {
	return Credential{OpenStack, ttlv.StructValue(0, r.fields)}
}

// RequestContext reads an OpenStack credential, whose tokens it aliases.
func (d *Credential) RequestContext() (*RequestContext, error) {
	r := new(RequestContext)
	return r, d.Value.Struct(0, r.fields)
}
