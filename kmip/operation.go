package kmip

import "kmip-keymgr/ttlv"

// Operation is what a batch item asks for (section 9.1.3.2.27).
type Operation uint32

// The operations this package speaks.
const (
	OpCreate           Operation = 0x01
	OpCreateKeyPair    Operation = 0x02
	OpRegister         Operation = 0x03
	OpLocate           Operation = 0x08
	OpGet              Operation = 0x0A
	OpGetAttributes    Operation = 0x0B
	OpGetAttributeList Operation = 0x0C
	OpAddAttribute     Operation = 0x0D
	OpModifyAttribute  Operation = 0x0E
	OpDeleteAttribute  Operation = 0x0F
	OpActivate         Operation = 0x12
	OpRevoke           Operation = 0x13
	OpDestroy          Operation = 0x14
	OpQuery            Operation = 0x18
	OpDiscoverVersions Operation = 0x1E
)

// operation is what there is to know about one: its name, the version it came with, whether repeating it does no harm
// (nothing is made, changed or destroyed by a second one that the first had not), and its payloads.
type operation struct {
	name     string
	since    Version
	safe     bool
	request  func() Payload
	response func() Payload
}

var operations = [...]operation{
	OpCreate:           {"Create", V1_0, false, emptyPayload[Create], emptyPayload[CreateResponse]},
	OpCreateKeyPair:    {"CreateKeyPair", V1_0, false, emptyPayload[CreateKeyPair], emptyPayload[CreateKeyPairResponse]},
	OpRegister:         {"Register", V1_0, false, emptyPayload[Register], emptyPayload[RegisterResponse]},
	OpLocate:           {"Locate", V1_0, true, emptyPayload[Locate], emptyPayload[LocateResponse]},
	OpGet:              {"Get", V1_0, true, emptyPayload[Get], emptyPayload[GetResponse]},
	OpGetAttributes:    {"GetAttributes", V1_0, true, emptyPayload[GetAttributes], emptyPayload[GetAttributesResponse]},
	OpGetAttributeList: {"GetAttributeList", V1_0, true, emptyPayload[GetAttributeList], emptyPayload[GetAttributeListResponse]},
	OpAddAttribute:     {"AddAttribute", V1_0, false, emptyPayload[AddAttribute], emptyPayload[AddAttributeResponse]},
	OpModifyAttribute:  {"ModifyAttribute", V1_0, false, emptyPayload[ModifyAttribute], emptyPayload[ModifyAttributeResponse]},
	OpDeleteAttribute:  {"DeleteAttribute", V1_0, false, emptyPayload[DeleteAttribute], emptyPayload[DeleteAttributeResponse]},
	OpActivate:         {"Activate", V1_0, false, emptyPayload[Activate], emptyPayload[ActivateResponse]},
	OpRevoke:           {"Revoke", V1_0, false, emptyPayload[Revoke], emptyPayload[RevokeResponse]},
	OpDestroy:          {"Destroy", V1_0, false, emptyPayload[Destroy], emptyPayload[DestroyResponse]},
	OpQuery:            {"Query", V1_0, true, emptyPayload[Query], emptyPayload[QueryResponse]},
	OpDiscoverVersions: {"DiscoverVersions", V1_1, true, emptyPayload[DiscoverVersions], emptyPayload[DiscoverVersionsResponse]},
}

// emptyPayload makes an empty payload of a type.
func emptyPayload[T any, P interface {
	*T
	Payload
}]() Payload {
	return P(new(T))
}

// row is the operation's row of the table; one without a name is unknown.
func (o Operation) row() *operation {
	if int64(o) < int64(len(operations)) {
		return &operations[o]
	}
	return &operations[0]
}

// Operations are those this package speaks, in the order of their numbers.
func Operations() []Operation {
	var all []Operation
	for i := range operations {
		if operations[i].name != "" {
			all = append(all, Operation(i))
		}
	}
	return all
}

// String is the operation's name without spaces, or its number in hexadecimal.
func (o Operation) String() string {
	if n := o.row().name; n != "" {
		return n
	}
	return name(nil, uint32(o))
}

// Since is the first version that has the operation, 0 where this package does not speak it.
func (o Operation) Since() Version { return o.row().since }

// SafeToRepeat reports whether sending the operation again, when nobody knows whether it ran, does no harm.
func (o Operation) SafeToRepeat() bool { return o.row().safe }

func (o Operation) newRequest() Payload {
	if f := o.row().request; f != nil {
		return f()
	}
	return nil
}

func (o Operation) newResponse() Payload {
	if f := o.row().response; f != nil {
		return f()
	}
	return nil
}

// Request is an operation whose response is an R.
type Request[R any] interface {
	Payload
	Operation() Operation
	response() *R
}

// identifier is the object that an operation is about. An empty one means the ID Placeholder: the object of the batch
// item before (section 4).
func identifier(c *ttlv.Coder, id *string) {
	ttlv.Optional(c, ttlv.TagUniqueIdentifier, id, (*ttlv.Coder).Text)
}

// Create makes a new symmetric key (section 4.1).
type Create struct {
	ObjectType ObjectType
	Attributes Attributes
}

func (*Create) Operation() Operation      { return OpCreate }
func (*Create) response() *CreateResponse { return new(CreateResponse) }

func (r *Create) fields(c *ttlv.Coder) {
	ttlv.Enum(c, ttlv.TagObjectType, &r.ObjectType)
	r.Attributes.template(c, ttlv.TagTemplateAttribute, ttlv.TagAttributes)
}

func (r *Create) number() { r.Attributes.number() }

// CreateResponse names the object made.
type CreateResponse struct {
	ObjectType       ObjectType
	UniqueIdentifier string
}

func (r *CreateResponse) fields(c *ttlv.Coder) {
	ttlv.Enum(c, ttlv.TagObjectType, &r.ObjectType)
	c.Text(ttlv.TagUniqueIdentifier, &r.UniqueIdentifier)
}

// CreateKeyPair makes a new key pair (section 4.2).
type CreateKeyPair struct{ Common, Private, Public Attributes }

func (*CreateKeyPair) Operation() Operation             { return OpCreateKeyPair }
func (*CreateKeyPair) response() *CreateKeyPairResponse { return new(CreateKeyPairResponse) }

func (r *CreateKeyPair) fields(c *ttlv.Coder) {
	r.Common.optionalTemplate(c, ttlv.TagCommonTemplateAttribute, ttlv.TagCommonAttributes)
	r.Private.optionalTemplate(c, ttlv.TagPrivateKeyTemplateAttribute, ttlv.TagPrivateKeyAttributes)
	r.Public.optionalTemplate(c, ttlv.TagPublicKeyTemplateAttribute, ttlv.TagPublicKeyAttributes)
}

func (r *CreateKeyPair) number() {
	r.Common.number()
	r.Private.number()
	r.Public.number()
}

// CreateKeyPairResponse names the two halves.
type CreateKeyPairResponse struct{ Private, Public string }

func (r *CreateKeyPairResponse) fields(c *ttlv.Coder) {
	c.Text(ttlv.TagPrivateKeyUniqueIdentifier, &r.Private)
	c.Text(ttlv.TagPublicKeyUniqueIdentifier, &r.Public)
}

// Register stores an object that the client has (section 4.3).
type Register struct {
	Attributes Attributes
	Object     Object
}

func (*Register) Operation() Operation        { return OpRegister }
func (*Register) response() *RegisterResponse { return new(RegisterResponse) }

func (r *Register) fields(c *ttlv.Coder) {
	ttlv.Enum(c, ttlv.TagObjectType, &r.Object.Type)
	r.Attributes.template(c, ttlv.TagTemplateAttribute, ttlv.TagAttributes)
	r.Object.object(c)
}

func (r *Register) number() { r.Attributes.number() }

// RegisterResponse names the object stored.
type RegisterResponse struct{ UniqueIdentifier string }

func (r *RegisterResponse) fields(c *ttlv.Coder) {
	c.Text(ttlv.TagUniqueIdentifier, &r.UniqueIdentifier)
}

// Locate finds objects that have all the attributes given (section 4.9).
type Locate struct {
	MaximumItems      int32
	OffsetItems       int32 // 1.3 and later
	StorageStatusMask int32
	ObjectGroupMember uint32
	Attributes        Attributes
}

func (*Locate) Operation() Operation      { return OpLocate }
func (*Locate) response() *LocateResponse { return new(LocateResponse) }

func (r *Locate) fields(c *ttlv.Coder) {
	ttlv.Optional(c, ttlv.TagMaximumItems, &r.MaximumItems, (*ttlv.Coder).Int)
	ttlv.Optional(c, ttlv.TagOffsetItems, &r.OffsetItems, (*ttlv.Coder).Int)
	ttlv.Optional(c, ttlv.TagStorageStatusMask, &r.StorageStatusMask, (*ttlv.Coder).Int)
	ttlv.Optional(c, ttlv.TagObjectGroupMember, &r.ObjectGroupMember, ttlv.Enum[uint32])
	switch {
	case is1(c):
		r.Attributes.v1(c)
	case c.Present(ttlv.TagAttributes, true): // even where there are none (KMIP 2.1 section 6.1.28), but not with PyKMIP's client
		c.Struct(ttlv.TagAttributes, r.Attributes.v2)
	}
}

// LocateResponse lists what was found. A single hit becomes the ID Placeholder.
type LocateResponse struct {
	LocatedItems      int32 // 1.3 and later: how many there are in all
	UniqueIdentifiers []string
}

func (r *LocateResponse) fields(c *ttlv.Coder) {
	ttlv.Optional(c, ttlv.TagLocatedItems, &r.LocatedItems, (*ttlv.Coder).Int)
	ttlv.List(c, ttlv.TagUniqueIdentifier, &r.UniqueIdentifiers, (*ttlv.Coder).Text)
}

// Get fetches an object's value (section 4.11). Wrapping is not asked for: the key comes as it is, over TLS.
type Get struct {
	UniqueIdentifier string
	Format           KeyFormatType // 0 for the server's own
	WrapType         uint32
	Compression      KeyCompressionType
	Wrapping         ttlv.Value // Key Wrapping Specification
}

func (*Get) Operation() Operation   { return OpGet }
func (*Get) response() *GetResponse { return new(GetResponse) }

func (r *Get) fields(c *ttlv.Coder) {
	identifier(c, &r.UniqueIdentifier)
	ttlv.Optional(c, ttlv.TagKeyFormatType, &r.Format, ttlv.Enum[KeyFormatType])
	ttlv.Optional(c, ttlv.TagKeyWrapType, &r.WrapType, ttlv.Enum[uint32])
	ttlv.Optional(c, ttlv.TagKeyCompressionType, &r.Compression, ttlv.Enum[KeyCompressionType])
	if c.Present(ttlv.TagKeyWrappingSpecification, r.Wrapping.Type != 0) {
		c.Value(ttlv.TagKeyWrappingSpecification, &r.Wrapping)
	}
}

func (r *Get) uniqueIdentifier() *string { return &r.UniqueIdentifier }

// GetResponse is the object. Its bytes alias the response.
type GetResponse struct {
	UniqueIdentifier string
	Object           Object
}

func (r *GetResponse) fields(c *ttlv.Coder) {
	ttlv.Enum(c, ttlv.TagObjectType, &r.Object.Type)
	c.Text(ttlv.TagUniqueIdentifier, &r.UniqueIdentifier)
	r.Object.object(c)
}

func (r *GetResponse) uniqueIdentifier() *string { return &r.UniqueIdentifier }

// GetAttributes fetches the attributes named, or all (section 4.12).
type GetAttributes struct {
	UniqueIdentifier string
	Names            []AttributeName
}

func (*GetAttributes) Operation() Operation             { return OpGetAttributes }
func (*GetAttributes) response() *GetAttributesResponse { return new(GetAttributesResponse) }

func (r *GetAttributes) fields(c *ttlv.Coder) {
	identifier(c, &r.UniqueIdentifier)
	references(c, &r.Names)
}

func (r *GetAttributes) uniqueIdentifier() *string { return &r.UniqueIdentifier }

// GetAttributesResponse holds those of the attributes that the object has.
type GetAttributesResponse struct {
	UniqueIdentifier string
	Attributes       Attributes
}

func (r *GetAttributesResponse) fields(c *ttlv.Coder) {
	c.Text(ttlv.TagUniqueIdentifier, &r.UniqueIdentifier)
	r.Attributes.list(c)
}

func (r *GetAttributesResponse) uniqueIdentifier() *string { return &r.UniqueIdentifier }

// GetAttributeList asks which attributes an object has (section 4.13).
type GetAttributeList struct{ UniqueIdentifier string }

func (*GetAttributeList) Operation() Operation                { return OpGetAttributeList }
func (*GetAttributeList) response() *GetAttributeListResponse { return new(GetAttributeListResponse) }

func (r *GetAttributeList) fields(c *ttlv.Coder) { identifier(c, &r.UniqueIdentifier) }

func (r *GetAttributeList) uniqueIdentifier() *string { return &r.UniqueIdentifier }

// GetAttributeListResponse names them.
type GetAttributeListResponse struct {
	UniqueIdentifier string
	Names            []AttributeName
}

func (r *GetAttributeListResponse) fields(c *ttlv.Coder) {
	c.Text(ttlv.TagUniqueIdentifier, &r.UniqueIdentifier)
	references(c, &r.Names)
}

func (r *GetAttributeListResponse) uniqueIdentifier() *string { return &r.UniqueIdentifier }

// AddAttribute adds an attribute, or an instance of one (section 4.14).
type AddAttribute struct {
	UniqueIdentifier string
	Attribute        Attribute
}

func (*AddAttribute) Operation() Operation            { return OpAddAttribute }
func (*AddAttribute) response() *AddAttributeResponse { return new(AddAttributeResponse) }

func (r *AddAttribute) fields(c *ttlv.Coder) {
	identifier(c, &r.UniqueIdentifier)
	r.Attribute.attribute(c, ttlv.TagNewAttribute)
}

func (r *AddAttribute) uniqueIdentifier() *string { return &r.UniqueIdentifier }

// changed is the answer to a change of an attribute; 1.x repeats the attribute.
func changed(c *ttlv.Coder, id *string, a *Attribute) {
	c.Text(ttlv.TagUniqueIdentifier, id)
	if is1(c) && c.Present(ttlv.TagAttribute, a.Value.Type != 0) {
		c.Struct(ttlv.TagAttribute, a.v1)
	}
}

// AddAttributeResponse confirms the attribute.
type AddAttributeResponse struct {
	UniqueIdentifier string
	Attribute        Attribute
}

func (r *AddAttributeResponse) fields(c *ttlv.Coder) { changed(c, &r.UniqueIdentifier, &r.Attribute) }

func (r *AddAttributeResponse) uniqueIdentifier() *string { return &r.UniqueIdentifier }

// ModifyAttribute changes an attribute's value: in 1.x that of the instance with its Index, in 2.x that whose value is
// Current where one is given (section 4.15; KMIP 2.1 section 6.1.34).
type ModifyAttribute struct {
	UniqueIdentifier string
	Current          *Attribute
	Attribute        Attribute
}

func (*ModifyAttribute) Operation() Operation               { return OpModifyAttribute }
func (*ModifyAttribute) response() *ModifyAttributeResponse { return new(ModifyAttributeResponse) }

func (r *ModifyAttribute) fields(c *ttlv.Coder) {
	identifier(c, &r.UniqueIdentifier)
	current(c, &r.Current)
	r.Attribute.attribute(c, ttlv.TagNewAttribute)
}

func (r *ModifyAttribute) uniqueIdentifier() *string { return &r.UniqueIdentifier }

// current is the Current Attribute of 2.x, by which an instance is told.
func current(c *ttlv.Coder, a **Attribute) {
	if is1(c) || !c.Present(ttlv.TagCurrentAttribute, *a != nil) {
		return
	}
	if *a == nil {
		*a = new(Attribute)
	}
	c.Struct(ttlv.TagCurrentAttribute, (*a).v2)
}

// ModifyAttributeResponse confirms the attribute.
type ModifyAttributeResponse struct {
	UniqueIdentifier string
	Attribute        Attribute
}

func (r *ModifyAttributeResponse) fields(c *ttlv.Coder) {
	changed(c, &r.UniqueIdentifier, &r.Attribute)
}

func (r *ModifyAttributeResponse) uniqueIdentifier() *string { return &r.UniqueIdentifier }

// DeleteAttribute removes an attribute: in 1.x the instance of that Name with that Index, in 2.x that whose value is
// Current, or where there is none all of that Name (section 4.16; KMIP 2.1 section 6.1.13).
type DeleteAttribute struct {
	UniqueIdentifier string
	Current          *Attribute
	Name             AttributeName
	Index            int32
}

func (*DeleteAttribute) Operation() Operation               { return OpDeleteAttribute }
func (*DeleteAttribute) response() *DeleteAttributeResponse { return new(DeleteAttributeResponse) }

func (r *DeleteAttribute) fields(c *ttlv.Coder) {
	identifier(c, &r.UniqueIdentifier)
	if is1(c) {
		r.Name.text(c)
		ttlv.Optional(c, ttlv.TagAttributeIndex, &r.Index, (*ttlv.Coder).Int)
		return
	}
	current(c, &r.Current)
	switch {
	case !c.Present(ttlv.TagAttributeReference, r.Current == nil):
	case r.Current != nil: // a server that heeds both deletes all instances and not the one
		c.Fail(ttlv.TagAttributeReference, "beside a %v", ttlv.TagCurrentAttribute)
	default:
		r.Name.reference(c)
	}
}

func (r *DeleteAttribute) uniqueIdentifier() *string { return &r.UniqueIdentifier }

// DeleteAttributeResponse confirms the attribute.
type DeleteAttributeResponse struct {
	UniqueIdentifier string
	Attribute        Attribute
}

func (r *DeleteAttributeResponse) fields(c *ttlv.Coder) {
	changed(c, &r.UniqueIdentifier, &r.Attribute)
}

func (r *DeleteAttributeResponse) uniqueIdentifier() *string { return &r.UniqueIdentifier }

// Activate makes a Pre-Active object Active (section 4.19).
type Activate struct{ UniqueIdentifier string }

func (*Activate) Operation() Operation        { return OpActivate }
func (*Activate) response() *ActivateResponse { return new(ActivateResponse) }

func (r *Activate) fields(c *ttlv.Coder) { identifier(c, &r.UniqueIdentifier) }

func (r *Activate) uniqueIdentifier() *string { return &r.UniqueIdentifier }

// ActivateResponse names the object.
type ActivateResponse struct{ UniqueIdentifier string }

func (r *ActivateResponse) fields(c *ttlv.Coder) { identifier(c, &r.UniqueIdentifier) }

func (r *ActivateResponse) uniqueIdentifier() *string { return &r.UniqueIdentifier }

// Revoke deactivates or compromises an object (section 4.20).
type Revoke struct {
	UniqueIdentifier string
	Code             RevocationReasonCode
	Message          string
	Compromise       ttlv.Value // Compromise Occurrence Date
}

func (*Revoke) Operation() Operation      { return OpRevoke }
func (*Revoke) response() *RevokeResponse { return new(RevokeResponse) }

func (r *Revoke) fields(c *ttlv.Coder) {
	identifier(c, &r.UniqueIdentifier)
	c.Struct(ttlv.TagRevocationReason, func(c *ttlv.Coder) {
		ttlv.Enum(c, ttlv.TagRevocationReasonCode, &r.Code)
		ttlv.Optional(c, ttlv.TagRevocationMessage, &r.Message, (*ttlv.Coder).Text)
	})
	if c.Present(ttlv.TagCompromiseOccurrenceDate, r.Compromise.Type != 0) {
		c.Value(ttlv.TagCompromiseOccurrenceDate, &r.Compromise)
	}
}

func (r *Revoke) uniqueIdentifier() *string { return &r.UniqueIdentifier }

// RevokeResponse names the object.
type RevokeResponse struct{ UniqueIdentifier string }

func (r *RevokeResponse) fields(c *ttlv.Coder) { identifier(c, &r.UniqueIdentifier) }

func (r *RevokeResponse) uniqueIdentifier() *string { return &r.UniqueIdentifier }

// Destroy destroys an object's value (section 4.21).
type Destroy struct{ UniqueIdentifier string }

func (*Destroy) Operation() Operation       { return OpDestroy }
func (*Destroy) response() *DestroyResponse { return new(DestroyResponse) }

func (r *Destroy) fields(c *ttlv.Coder) { identifier(c, &r.UniqueIdentifier) }

func (r *Destroy) uniqueIdentifier() *string { return &r.UniqueIdentifier }

// DestroyResponse names the object.
type DestroyResponse struct{ UniqueIdentifier string }

func (r *DestroyResponse) fields(c *ttlv.Coder) { identifier(c, &r.UniqueIdentifier) }

func (r *DestroyResponse) uniqueIdentifier() *string { return &r.UniqueIdentifier }

// Query asks what the server can do (section 4.25).
type Query struct{ Functions []QueryFunction }

func (*Query) Operation() Operation     { return OpQuery }
func (*Query) response() *QueryResponse { return new(QueryResponse) }

func (r *Query) fields(c *ttlv.Coder) {
	ttlv.List(c, ttlv.TagQueryFunction, &r.Functions, ttlv.Enum[QueryFunction])
}

// QueryResponse answers those of the questions that this package asks.
type QueryResponse struct {
	Operations           []Operation
	ObjectTypes          []ObjectType
	VendorIdentification string
}

func (r *QueryResponse) fields(c *ttlv.Coder) {
	ttlv.List(c, ttlv.TagOperation, &r.Operations, ttlv.Enum[Operation])
	ttlv.List(c, ttlv.TagObjectType, &r.ObjectTypes, ttlv.Enum[ObjectType])
	ttlv.Optional(c, ttlv.TagVendorIdentification, &r.VendorIdentification, (*ttlv.Coder).Text)
}

// DiscoverVersions asks which of these versions the server speaks, or for all of its own (section 4.26).
type DiscoverVersions struct{ Versions []Version }

func (*DiscoverVersions) Operation() Operation                { return OpDiscoverVersions }
func (*DiscoverVersions) response() *DiscoverVersionsResponse { return new(DiscoverVersionsResponse) }

func (r *DiscoverVersions) fields(c *ttlv.Coder) { versions(c, &r.Versions) }

// DiscoverVersionsResponse lists them, in decreasing order of the server's preference.
type DiscoverVersionsResponse struct{ Versions []Version }

func (r *DiscoverVersionsResponse) fields(c *ttlv.Coder) { versions(c, &r.Versions) }

func versions(c *ttlv.Coder, list *[]Version) {
	ttlv.List(c, ttlv.TagProtocolVersion, list, func(c *ttlv.Coder, tag ttlv.Tag, v *Version) { c.Struct(tag, v.fields) })
}
