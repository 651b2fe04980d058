package kmip

import (
	"time"

	"kmip-keymgr/ttlv"
)

// This file is the one place that knows how the protocol versions write attributes: 1.x as an Attribute {Attribute Name,
// Attribute Index, Attribute Value} (section 2.1.1) in a Template-Attribute (section 2.1.8), 2.x as a field of its own tag in
// an Attributes structure (KMIP 2.1 section 5.1). One table serves both, since an attribute's name in 1.x is that of its tag.

// attributeTags are the attributes of the specification.
var attributeTags = [...]ttlv.Tag{
	ttlv.TagName, ttlv.TagApplicationSpecificInformation, ttlv.TagState, ttlv.TagCryptographicAlgorithm,
	ttlv.TagCryptographicLength, ttlv.TagCryptographicUsageMask, ttlv.TagObjectType, ttlv.TagObjectGroup,
	ttlv.TagInitialDate, ttlv.TagUniqueIdentifier, ttlv.TagActivationDate, ttlv.TagDeactivationDate,
	ttlv.TagCryptographicParameters, ttlv.TagCryptographicDomainParameters, ttlv.TagCertificateType,
	ttlv.TagCertificateLength, ttlv.TagCertificateIdentifier, ttlv.TagCertificateSubject, ttlv.TagCertificateIssuer,
	ttlv.TagX509CertificateIdentifier, ttlv.TagX509CertificateSubject, ttlv.TagX509CertificateIssuer,
	ttlv.TagDigitalSignatureAlgorithm, ttlv.TagDigest, ttlv.TagOperationPolicyName, ttlv.TagLeaseTime,
	ttlv.TagUsageLimits, ttlv.TagProcessStartDate, ttlv.TagProtectStopDate, ttlv.TagDestroyDate,
	ttlv.TagCompromiseOccurrenceDate, ttlv.TagCompromiseDate, ttlv.TagRevocationReason, ttlv.TagArchiveDate,
	ttlv.TagFresh, ttlv.TagLink, ttlv.TagContactInformation, ttlv.TagLastChangeDate, ttlv.TagAlternativeName,
	ttlv.TagKeyValuePresent, ttlv.TagKeyValueLocation, ttlv.TagOriginalCreationDate, ttlv.TagRandomNumberGenerator,
	ttlv.TagPKCS12FriendlyName, ttlv.TagDescription, ttlv.TagComment, ttlv.TagSensitive, ttlv.TagAlwaysSensitive,
	ttlv.TagExtractable, ttlv.TagNeverExtractable, ttlv.TagKeyFormatType, ttlv.TagProtectionLevel,
	ttlv.TagProtectionPeriod, ttlv.TagQuantumSafe, ttlv.TagShortUniqueIdentifier,
}

// AttributeName says which attribute is meant: by Tag where the specification defines it, otherwise by Name (in 2.x
// with the Vendor that defines it).
type AttributeName struct {
	Tag    ttlv.Tag
	Vendor string
	Name   string
}

// attributeNamed finds the attribute of that name in 1.x: one of the specification's, or another such as "x-purpose" (section
// 3.39).
func attributeNamed(name []byte) AttributeName {
	for _, tag := range attributeTags {
		if tag.String() == string(name) {
			return AttributeName{Tag: tag}
		}
	}
	return AttributeName{Name: string(name)}
}

func (n AttributeName) String() string {
	if n.Tag != 0 {
		return n.Tag.String()
	}
	return n.Name
}

// text is the name as 1.x writes it.
func (n *AttributeName) text(c *ttlv.Coder) {
	if c.Reading() {
		var name []byte
		c.TextBytes(ttlv.TagAttributeName, &name)
		*n = attributeNamed(name)
		return
	}
	name := n.String()
	c.Text(ttlv.TagAttributeName, &name)
}

// vendor is the name as 2.x writes it where it has no tag.
func (n *AttributeName) vendor(c *ttlv.Coder) {
	c.Text(ttlv.TagVendorIdentification, &n.Vendor)
	c.Text(ttlv.TagAttributeName, &n.Name)
}

// reference is the name in a request or a list: Attribute Name in 1.x, Attribute Reference in 2.x.
func (n *AttributeName) reference(c *ttlv.Coder) {
	switch {
	case is1(c):
		n.text(c)
	case n.Tag != 0 || c.TypeOf(ttlv.TagAttributeReference) == ttlv.TypeEnumeration:
		ttlv.Enum(c, ttlv.TagAttributeReference, &n.Tag)
	default:
		c.Struct(ttlv.TagAttributeReference, n.vendor)
	}
}

func references(c *ttlv.Coder, names *[]AttributeName) {
	tag := tagIn(c, ttlv.TagAttributeName, ttlv.TagAttributeReference)
	ttlv.List(c, tag, names, func(c *ttlv.Coder, _ ttlv.Tag, n *AttributeName) { n.reference(c) })
}

// Attribute is one attribute of an object. Index tells instances of one name apart, in 1.x only.
type Attribute struct {
	AttributeName
	Index  int32
	zeroth bool // the message says so, of an Index of 0
	Value  ttlv.Value
}

// Attributes are attributes in the order of the message.
type Attributes []Attribute

// v1 is the attribute in the form of 1.x.
func (a *Attribute) v1(c *ttlv.Coder) {
	a.text(c)
	if c.Present(ttlv.TagAttributeIndex, a.Index != 0 || a.zeroth) {
		c.Int(ttlv.TagAttributeIndex, &a.Index)
		a.zeroth = a.Index == 0
	}
	c.Value(ttlv.TagAttributeValue, &a.Value)
}

// v2 is the attribute in the form of 2.x; when reading, the next field is one.
func (a *Attribute) v2(c *ttlv.Coder) {
	if next, ok := c.Next(); ok && next != ttlv.TagAttribute {
		a.Tag = next
	}
	if a.Tag != 0 {
		c.Value(a.Tag, &a.Value)
		return
	}
	c.Struct(ttlv.TagAttribute, func(c *ttlv.Coder) {
		a.vendor(c)
		c.Value(ttlv.TagAttributeValue, &a.Value)
	})
}

// attribute is a single attribute in a message: Attribute in 1.x, inside the structure v2tag in 2.x.
func (a *Attribute) attribute(c *ttlv.Coder, v2tag ttlv.Tag) {
	if is1(c) {
		c.Struct(ttlv.TagAttribute, a.v1)
	} else {
		c.Struct(v2tag, a.v2)
	}
}

// v1 are attributes side by side, in the form of 1.x.
func (l *Attributes) v1(c *ttlv.Coder) {
	ttlv.List(c, ttlv.TagAttribute, (*[]Attribute)(l), func(c *ttlv.Coder, tag ttlv.Tag, a *Attribute) {
		l.limit(c, tag)
		c.Struct(tag, a.v1)
	})
}

// maxAttributes is how many attributes an object may have: a thousand times what is usual, and few enough that a hostile
// message of them takes no more memory than its bytes.
const maxAttributes = 8192

func (l *Attributes) limit(c *ttlv.Coder, tag ttlv.Tag) {
	if len(*l) > maxAttributes {
		c.Fail(tag, "more than %d attributes", maxAttributes)
	}
}

// number gives the instances of an attribute their indices (section 2.1.1) where they have none. That is for attributes
// of an object to be made: in a Locate an index would ask for that instance, and what was read stays as it was.
func (l Attributes) number() {
	for i := range l {
		for j := range l[:i] {
			if l[i].Index <= l[j].Index && l[i].AttributeName == l[j].AttributeName {
				l[i].Index = l[j].Index + 1
			}
		}
	}
}

// v2 are the fields of an Attributes structure of 2.x.
func (l *Attributes) v2(c *ttlv.Coder) {
	if !c.Reading() {
		for i := range *l {
			(*l)[i].v2(c)
		}
		return
	}
	*l = (*l)[:0]
	for _, more := c.Next(); more; _, more = c.Next() {
		var a Attribute
		a.v2(c)
		*l = append(*l, a)
		l.limit(c, a.Tag)
	}
}

// template is a structure of attributes: a Template-Attribute in 1.x, an Attributes structure in 2.x.
func (l *Attributes) template(c *ttlv.Coder, v1tag, v2tag ttlv.Tag) {
	if is1(c) {
		c.Struct(v1tag, l.v1)
	} else {
		c.Struct(v2tag, l.v2)
	}
}

// optionalTemplate is a template that is left out when it is empty.
func (l *Attributes) optionalTemplate(c *ttlv.Coder, v1tag, v2tag ttlv.Tag) {
	if c.Present(tagIn(c, v1tag, v2tag), len(*l) > 0) {
		l.template(c, v1tag, v2tag)
	}
}

// list are attributes among other fields: side by side in 1.x, in an Attributes structure in 2.x.
func (l *Attributes) list(c *ttlv.Coder) {
	if is1(c) {
		l.v1(c)
	} else if c.Present(ttlv.TagAttributes, len(*l) > 0) {
		c.Struct(ttlv.TagAttributes, l.v2)
	}
}

// is1 reports whether the message is one of 1.x.
func is1(c *ttlv.Coder) bool { return Version(c.Version) < V2_0 }

// tagIn is the tag of a field that has one in 1.x and another in 2.x.
func tagIn(c *ttlv.Coder, v1tag, v2tag ttlv.Tag) ttlv.Tag {
	if is1(c) {
		return v1tag
	}
	return v2tag
}

// Value is the first value under a tag.
func (l Attributes) Value(tag ttlv.Tag) (ttlv.Value, bool) {
	for i := range l {
		if l[i].Tag == tag {
			return l[i].Value, true
		}
	}
	return ttlv.Value{}, false
}

// Names are the object's Names (section 3.2).
func (l Attributes) Names() []string {
	var names []string
	for i := range l {
		var n Name
		if l[i].Tag == ttlv.TagName && l[i].Value.Struct(0, n.fields) == nil {
			names = append(names, n.Value)
		}
	}
	return names
}

// Applications are the object's Application Specific Information (section 3.36).
func (l Attributes) Applications() []ApplicationInformation {
	var list []ApplicationInformation
	for i := range l {
		var info ApplicationInformation
		if l[i].Tag == ttlv.TagApplicationSpecificInformation && l[i].Value.Struct(0, info.fields) == nil {
			list = append(list, info)
		}
	}
	return list
}

// ApplicationData is what the object records under a namespace, false where it records nothing.
func (l Attributes) ApplicationData(namespace string) (string, bool) {
	for _, info := range l.Applications() {
		if info.Namespace == namespace {
			return info.Data, true
		}
	}
	return "", false
}

// Enum is an enumeration under a tag, 0 where there is none.
func (l Attributes) Enum(tag ttlv.Tag) uint32 {
	v, _ := l.Value(tag)
	n, _ := v.Enum()
	return n
}

// Int is an integer under a tag, 0 where there is none.
func (l Attributes) Int(tag ttlv.Tag) int32 {
	v, _ := l.Value(tag)
	n, _ := v.Int()
	return n
}

// Time is a date under a tag, false where there is none.
func (l Attributes) Time(tag ttlv.Tag) (time.Time, bool) {
	v, _ := l.Value(tag)
	return v.Time()
}

// State is the object's state, 0 where it is not told.
func (l Attributes) State() State { return State(l.Enum(ttlv.TagState)) }

// Name is the value of a Name attribute (section 3.2).
type Name struct {
	Value string
	Type  NameType
}

func (n *Name) fields(c *ttlv.Coder) {
	c.Text(ttlv.TagNameValue, &n.Value)
	ttlv.Enum(c, ttlv.TagNameType, &n.Type)
}

// ApplicationInformation is the value of an Application Specific Information attribute (section 3.36).
type ApplicationInformation struct {
	Namespace string
	Data      string
}

func (a *ApplicationInformation) fields(c *ttlv.Coder) {
	c.Text(ttlv.TagApplicationNamespace, &a.Namespace)
	ttlv.Optional(c, ttlv.TagApplicationData, &a.Data, (*ttlv.Coder).Text)
}

// Link is the value of a Link attribute (section 3.35).
type Link struct {
	Type LinkType
	ID   string
}

func (l *Link) fields(c *ttlv.Coder) {
	ttlv.Enum(c, ttlv.TagLinkType, &l.Type)
	c.Text(ttlv.TagLinkedObjectIdentifier, &l.ID)
}

func attribute(tag ttlv.Tag, v ttlv.Value) Attribute {
	return Attribute{AttributeName: AttributeName{Tag: tag}, Value: v}
}

// NameAttribute is a Name.
func NameAttribute(name string) Attribute {
	n := Name{Value: name, Type: UninterpretedText}
	return attribute(ttlv.TagName, ttlv.StructValue(0, n.fields))
}

// ApplicationAttribute is an Application Specific Information.
func ApplicationAttribute(namespace, data string) Attribute {
	a := ApplicationInformation{namespace, data}
	return attribute(ttlv.TagApplicationSpecificInformation, ttlv.StructValue(0, a.fields))
}

// LinkAttribute is a Link.
func LinkAttribute(t LinkType, id string) Attribute {
	l := Link{t, id}
	return attribute(ttlv.TagLink, ttlv.StructValue(0, l.fields))
}

// EnumAttribute is an attribute whose value is an enumeration.
func EnumAttribute[T ~uint32](tag ttlv.Tag, v T) Attribute { return attribute(tag, ttlv.EnumValue(v)) }

// IntAttribute is an attribute whose value is an integer.
func IntAttribute[T ~int32](tag ttlv.Tag, v T) Attribute {
	return attribute(tag, ttlv.IntValue(int32(v)))
}

// TextAttribute is an attribute whose value is a text.
func TextAttribute(tag ttlv.Tag, v string) Attribute { return attribute(tag, ttlv.TextValue(v)) }

// TimeAttribute is an attribute whose value is a date.
func TimeAttribute(tag ttlv.Tag, v time.Time) Attribute { return attribute(tag, ttlv.TimeValue(v)) }
