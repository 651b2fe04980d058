package kmip

import (
	"kmip-keymgr/internal/secret"
	"kmip-keymgr/ttlv"
)

// OpenStack is the type of the credential that carries an OpenStack request context, one of the values left to extensions
// (section 9.1.3.2.1). docs/credential.md specifies it.
const OpenStack CredentialType = 0x80000001

// IdentityUnavailable is the reason of a server that cannot tell now who asks, since Keystone does not tell it: the same
// request may be taken later. It is one of the values left to extensions, since no reason of KMIP 1.x says so, and those
// that might are ambiguous.
const IdentityUnavailable ResultReason = 0x80000001

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

// OpenStackCredential is a credential that carries the context. It holds the only copy that is made of the tokens here:
// [Credential.Clear] overwrites it.
func OpenStackCredential(r *RequestContext) Credential {
	var c ttlv.Coder
	buf, _ := c.Append(make([]byte, 0, r.room()), ttlv.TagCredentialValue, r.fields) // texts always encode
	return Credential{OpenStack, ttlv.Value{Type: ttlv.TypeStructure, Data: buf[itemHeader:]}}
}

const (
	itemHeader = 8              // bytes of tag, type and length
	itemExtra  = itemHeader + 7 // and of padding at most
)

// room is as many bytes as the context takes at most, so that no buffer with a token in it is outgrown and left behind.
func (r *RequestContext) room() int {
	n := itemHeader + itemExtra + len(r.AuthToken) + itemExtra + len(r.ServiceToken) + itemHeader + 8
	for _, text := range [...]string{
		r.UserID, r.ProjectID, r.DomainID, r.RequestID, r.GlobalRequestID, r.RemoteAddress, r.UserName, r.ProjectName,
		r.UserDomainID, r.ProjectDomainID, r.Timestamp,
	} {
		n += itemExtra + len(text)
	}
	for _, role := range r.Roles {
		n += itemExtra + len(role)
	}
	return n
}

// RequestContext reads an OpenStack credential, whose tokens it aliases.
func (d *Credential) RequestContext() (*RequestContext, error) {
	r := new(RequestContext)
	return r, d.Value.Struct(0, r.fields)
}
