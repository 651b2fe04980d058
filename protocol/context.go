package protocol

import (
	"cmp"

	"kmip-keymgr/internal/secret"
)

// Context is who asks: what matters of oslo_context's RequestContext.to_dict() as Nova and Cinder make it, and a service
// token beside it. Every field is optional, and its zero value means that it was not given. The domains, the user and the
// project are also read under the names that oslo.context writes besides or instead: domain, user_domain, project_domain,
// user, project, tenant.
type Context struct {
	AuthToken       secret.Bytes
	ServiceToken    secret.Bytes
	UserID          string
	ProjectID       string
	EmptyProject    string // the name of the field that gives an empty text for a project, where none gives one
	DomainID        string
	IsAdmin         *bool
	Roles           []string
	RequestID       string
	GlobalRequestID string
	RemoteAddress   string
	UserName        string
	ProjectName     string
	UserDomainID    string
	ProjectDomainID string
	Timestamp       string // as the service wrote it

	// Castellan is one of Castellan's credentials (KeystonePassword, KeystoneToken, Password, Token) as a JSON object
	// {"type":"keystone_password",...}, unparsed.
	Castellan secret.Bytes
}

// Clear overwrites the tokens and the Castellan credential.
func (c *Context) Clear() {
	c.AuthToken.Clear()
	c.ServiceToken.Clear()
	c.Castellan.Clear()
}

func (c *Context) decode(d *decoder) {
	old := oldNames{empty: &c.EmptyProject}
	d.object(func(name []byte) {
		c.decodeWho(d, name)
		c.decodeRest(d, name)
		old.decode(d, name)
	})
	c.UserID = cmp.Or(c.UserID, old.user)
	c.ProjectID = cmp.Or(c.ProjectID, old.project, old.tenant)
	if c.ProjectID != "" {
		c.EmptyProject = ""
	}
	c.DomainID = cmp.Or(c.DomainID, old.domain)
	c.UserDomainID = cmp.Or(c.UserDomainID, old.userDomain)
	c.ProjectDomainID = cmp.Or(c.ProjectDomainID, old.projectDomain)
}

// decodeWho reads the fields that say who asks.
func (c *Context) decodeWho(d *decoder, name []byte) {
	switch string(name) {
	case "user_id":
		d.string(&c.UserID)
	case "project_id":
		decodeProject(d, name, &c.ProjectID, &c.EmptyProject)
	case "domain_id":
		d.string(&c.DomainID)
	case "user_domain_id":
		d.string(&c.UserDomainID)
	case "project_domain_id":
		d.string(&c.ProjectDomainID)
	case "user_name":
		d.string(&c.UserName)
	case "project_name":
		d.string(&c.ProjectName)
	case "roles":
		d.strings(&c.Roles)
	case "is_admin":
		c.decodeAdmin(d)
	}
}

// decodeProject notes the field where the text is empty, which is not the same as none.
func decodeProject(d *decoder, name []byte, project, empty *string) {
	given := d.next() == '"'
	if d.string(project); given && *project == "" {
		*empty = string(name)
	}
}

func (c *Context) decodeAdmin(d *decoder) {
	if d.next() == 'n' {
		d.skip()
		return
	}
	c.IsAdmin = new(bool)
	d.bool(c.IsAdmin)
}

// decodeRest reads the proofs and the circumstances.
func (c *Context) decodeRest(d *decoder, name []byte) {
	switch string(name) {
	case "auth_token":
		d.secret(&c.AuthToken)
	case "service_token":
		d.secret(&c.ServiceToken)
	case "castellan":
		if c.Castellan = d.raw(); len(c.Castellan) > 0 && c.Castellan[0] != '{' || hasHalfPair(c.Castellan) {
			d.mismatch("an object of whole characters")
		}
	case "request_id":
		d.string(&c.RequestID)
	case "global_request_id":
		d.string(&c.GlobalRequestID)
	case "remote_address":
		d.string(&c.RemoteAddress)
	case "timestamp":
		if d.next() == '"' {
			d.string(&c.Timestamp)
		} else {
			d.skip() // a service that writes a number here is not worth refusing for it
		}
	}
}

// oldNames are fields of Context under the names they had before, which services still write.
type oldNames struct {
	user, project, tenant, domain, userDomain, projectDomain string

	empty *string // see Context.EmptyProject
}

func (o *oldNames) decode(d *decoder, name []byte) {
	switch string(name) {
	case "user":
		d.string(&o.user)
	case "project":
		decodeProject(d, name, &o.project, o.empty)
	case "tenant":
		decodeProject(d, name, &o.tenant, o.empty)
	case "domain":
		d.string(&o.domain)
	case "user_domain":
		d.string(&o.userDomain)
	case "project_domain":
		d.string(&o.projectDomain)
	}
}
