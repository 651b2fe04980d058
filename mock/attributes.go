package mock

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"kmip-keymgr/kmip"
	"kmip-keymgr/ttlv"
)

// kinds is a set of object types.
type kinds uint16

func kind(t kmip.ObjectType) kinds { return 1 << t }

const (
	certificate   = kinds(1 << kmip.CertificateObject)
	symmetric     = kinds(1 << kmip.SymmetricKeyObject)
	asymmetric    = kinds(1<<kmip.PublicKeyObject | 1<<kmip.PrivateKeyObject)
	secretData    = kinds(1 << kmip.SecretDataObject)
	keys          = symmetric | asymmetric
	cryptographic = keys | certificate | secretData // cryptographic objects (section 2.2): they have a state
	every         = cryptographic | kinds(1<<kmip.OpaqueObject)
)

// rights are what a client may do with an attribute.
type rights uint8

const (
	set    rights = 1 << iota // give it a value, when the object is made or later
	modify                    // change the value
	remove                    // delete it
	many                      // have several instances of it

	server rights = 0 // the server alone sets it
	free          = set | modify | remove
)

// rule is what the specification says about one attribute.
type rule struct {
	tag    ttlv.Tag
	typ    ttlv.Type
	on     kinds
	rights rights
	since  kmip.Version
	until  kmip.Version // 0 where it is still there
}

// rules are those of section 3 and of KMIP 2.1 section 4, attribute by attribute.
var rules = [...]rule{
	{ttlv.TagUniqueIdentifier, ttlv.TypeTextString, every, server, kmip.V1_0, 0},
	{ttlv.TagName, ttlv.TypeStructure, every, free | many, kmip.V1_0, 0},
	{ttlv.TagObjectType, ttlv.TypeEnumeration, every, server, kmip.V1_0, 0},
	{ttlv.TagCryptographicAlgorithm, ttlv.TypeEnumeration, keys | certificate, set, kmip.V1_0, 0},
	{ttlv.TagCryptographicLength, ttlv.TypeInteger, keys | certificate, set, kmip.V1_0, 0},
	{ttlv.TagCryptographicParameters, ttlv.TypeStructure, keys | certificate, free | many, kmip.V1_0, 0},
	{ttlv.TagCryptographicDomainParameters, ttlv.TypeStructure, asymmetric, set, kmip.V1_0, 0},
	{ttlv.TagCertificateType, ttlv.TypeEnumeration, certificate, server, kmip.V1_0, 0},
	{ttlv.TagCertificateLength, ttlv.TypeInteger, certificate, server, kmip.V1_1, 0},
	{ttlv.TagCertificateIdentifier, ttlv.TypeStructure, certificate, server, kmip.V1_0, kmip.V1_4},
	{ttlv.TagCertificateSubject, ttlv.TypeStructure, certificate, server, kmip.V1_0, kmip.V1_4},
	{ttlv.TagCertificateIssuer, ttlv.TypeStructure, certificate, server, kmip.V1_0, kmip.V1_4},
	{ttlv.TagX509CertificateIdentifier, ttlv.TypeStructure, certificate, server, kmip.V1_1, 0},
	{ttlv.TagX509CertificateSubject, ttlv.TypeStructure, certificate, server, kmip.V1_1, 0},
	{ttlv.TagX509CertificateIssuer, ttlv.TypeStructure, certificate, server, kmip.V1_1, 0},
	{ttlv.TagDigitalSignatureAlgorithm, ttlv.TypeEnumeration, certificate, server | many, kmip.V1_1, 0},
	{ttlv.TagDigest, ttlv.TypeStructure, every, server | many, kmip.V1_0, 0},
	{ttlv.TagOperationPolicyName, ttlv.TypeTextString, every, set, kmip.V1_0, kmip.V1_4},
	{ttlv.TagCryptographicUsageMask, ttlv.TypeInteger, cryptographic, set, kmip.V1_0, 0},
	{ttlv.TagLeaseTime, ttlv.TypeInterval, cryptographic, server, kmip.V1_0, 0},
	{ttlv.TagUsageLimits, ttlv.TypeStructure, keys, free, kmip.V1_0, 0},
	{ttlv.TagState, ttlv.TypeEnumeration, cryptographic, server, kmip.V1_0, 0},
	{ttlv.TagInitialDate, ttlv.TypeDateTime, every, server, kmip.V1_0, 0},
	{ttlv.TagActivationDate, ttlv.TypeDateTime, cryptographic, set | modify, kmip.V1_0, 0},
	{ttlv.TagProcessStartDate, ttlv.TypeDateTime, symmetric, set | modify, kmip.V1_0, 0},
	{ttlv.TagProtectStopDate, ttlv.TypeDateTime, symmetric, set | modify, kmip.V1_0, 0},
	{ttlv.TagDeactivationDate, ttlv.TypeDateTime, cryptographic, set | modify, kmip.V1_0, 0},
	{ttlv.TagDestroyDate, ttlv.TypeDateTime, every, server, kmip.V1_0, 0},
	{ttlv.TagCompromiseOccurrenceDate, ttlv.TypeDateTime, cryptographic, server, kmip.V1_0, 0},
	{ttlv.TagCompromiseDate, ttlv.TypeDateTime, cryptographic, server, kmip.V1_0, 0},
	{ttlv.TagRevocationReason, ttlv.TypeStructure, cryptographic, server, kmip.V1_0, 0},
	{ttlv.TagArchiveDate, ttlv.TypeDateTime, every, server, kmip.V1_0, 0},
	{ttlv.TagObjectGroup, ttlv.TypeTextString, every, free | many, kmip.V1_0, 0},
	{ttlv.TagFresh, ttlv.TypeBoolean, cryptographic, set, kmip.V1_1, 0},
	{ttlv.TagLink, ttlv.TypeStructure, cryptographic, free | many, kmip.V1_0, 0},
	{ttlv.TagApplicationSpecificInformation, ttlv.TypeStructure, every, free | many, kmip.V1_0, 0},
	{ttlv.TagContactInformation, ttlv.TypeTextString, every, free, kmip.V1_0, 0},
	{ttlv.TagLastChangeDate, ttlv.TypeDateTime, every, server, kmip.V1_0, 0},
	{ttlv.TagAlternativeName, ttlv.TypeStructure, every, free | many, kmip.V1_2, 0},
	{ttlv.TagKeyValuePresent, ttlv.TypeBoolean, keys | secretData, server, kmip.V1_2, 0},
	{ttlv.TagKeyValueLocation, ttlv.TypeStructure, keys | secretData, free | many, kmip.V1_2, 0},
	{ttlv.TagOriginalCreationDate, ttlv.TypeDateTime, every, set, kmip.V1_2, 0},
	{ttlv.TagRandomNumberGenerator, ttlv.TypeStructure, cryptographic, set, kmip.V1_3, 0},
	{ttlv.TagPKCS12FriendlyName, ttlv.TypeTextString, asymmetric | certificate, free, kmip.V1_4, 0},
	{ttlv.TagDescription, ttlv.TypeTextString, every, free, kmip.V1_4, 0},
	{ttlv.TagComment, ttlv.TypeTextString, every, free, kmip.V1_4, 0},
	{ttlv.TagSensitive, ttlv.TypeBoolean, keys | secretData, set | modify, kmip.V1_4, 0},
	{ttlv.TagAlwaysSensitive, ttlv.TypeBoolean, keys | secretData, server, kmip.V1_4, 0},
	{ttlv.TagExtractable, ttlv.TypeBoolean, keys | secretData, set | modify, kmip.V1_4, 0},
	{ttlv.TagNeverExtractable, ttlv.TypeBoolean, keys | secretData, server, kmip.V1_4, 0},
	{ttlv.TagKeyFormatType, ttlv.TypeEnumeration, keys | secretData, server, kmip.V2_0, 0},
	{ttlv.TagProtectionLevel, ttlv.TypeEnumeration, every, free, kmip.V2_0, 0},
	{ttlv.TagProtectionPeriod, ttlv.TypeInterval, every, free, kmip.V2_0, 0},
	{ttlv.TagQuantumSafe, ttlv.TypeBoolean, every, free, kmip.V2_0, 0},
	{ttlv.TagShortUniqueIdentifier, ttlv.TypeByteString, every, server, kmip.V2_0, 0},
}

// ruleOf is the rule for an attribute, false where the version does not have it. A custom attribute is free: in 1.x one
// whose name starts with x- (section 3.39), in 2.x one of a vendor.
func ruleOf(n kmip.AttributeName, v kmip.Version) (rule, bool) {
	if n.Tag == 0 {
		custom := strings.HasPrefix(n.Name, "x-")
		if v >= kmip.V2_0 {
			custom = n.Name != "" && n.Vendor != ""
		}
		return rule{on: every, rights: free | many}, custom
	}
	i := slices.IndexFunc(rules[:], func(r rule) bool { return r.tag == n.Tag })
	if i < 0 {
		return rule{}, false
	}
	r := rules[i]
	return r, r.since <= v && (r.until == 0 || v <= r.until)
}

// writable is the rule for an attribute that a client wants to do something with, on an object of that type.
func writable(n kmip.AttributeName, t kmip.ObjectType, v kmip.Version, want rights) (rule, error) {
	r, ok := ruleOf(n, v)
	switch {
	case !ok:
		return r, refusal(kmip.UnsupportedAttribute, "no attribute %q in KMIP %v here", n, v)
	case r.on&kind(t) == 0:
		return r, refusal(kmip.UnsupportedAttribute, "no attribute %v for an object of type %v", n, t)
	case r.rights&want == 0:
		return r, refusal(kmip.AttributeReadOnly, "the attribute %v may not be set, changed or deleted", n)
	}
	return r, nil
}

// checkValue checks a value against its rule.
func (r *rule) checkValue(a *kmip.Attribute) error {
	ok := r.tag == 0 || a.Value.Type == r.typ
	if text, isText := a.Value.Text(); isText {
		ok = ok && utf8.ValidString(text)
	}
	switch r.tag {
	case ttlv.TagName:
		ok = ok && isName(a.Value)
	case ttlv.TagApplicationSpecificInformation:
		ok = ok && isApplicationInformation(a.Value)
	case ttlv.TagLink:
		ok = ok && isLink(a.Value)
	}
	if !ok {
		return refusal(kmip.InvalidAttributeValue, "the value of %v is not of its kind", a.AttributeName)
	}
	return nil
}

// exactly reports whether a structure has these fields, all of them and no others: written again it is the same.
func exactly(v ttlv.Value, fields func(*ttlv.Coder)) bool {
	return v.Struct(0, fields) == nil && ttlv.StructValue(0, fields).Equal(v)
}

// isName checks a Name (section 3.2).
func isName(v ttlv.Value) bool {
	var text string
	var typ kmip.NameType
	return exactly(v, func(c *ttlv.Coder) {
		c.Text(ttlv.TagNameValue, &text)
		ttlv.Enum(c, ttlv.TagNameType, &typ)
	}) && text != "" && utf8.ValidString(text) && (typ == kmip.UninterpretedText || typ == uriName)
}

const uriName kmip.NameType = 2

// isApplicationInformation checks an Application Specific Information (section 3.36). The data may be left out from
// 1.3 on, for a server that makes some up, which this one does not. An empty text is as good as none: PyKMIP takes it, and
// cannot give back the attributes of that object.
func isApplicationInformation(v ttlv.Value) bool {
	var namespace, data string
	return exactly(v, func(c *ttlv.Coder) {
		c.Text(ttlv.TagApplicationNamespace, &namespace)
		c.Text(ttlv.TagApplicationData, &data)
	}) && namespace != "" && data != "" && utf8.ValidString(namespace) && utf8.ValidString(data)
}

// isLink checks a Link (section 3.35).
func isLink(v ttlv.Value) bool {
	var typ kmip.LinkType
	var id string
	return exactly(v, func(c *ttlv.Coder) {
		ttlv.Enum(c, ttlv.TagLinkType, &typ)
		c.Text(ttlv.TagLinkedObjectIdentifier, &id)
	}) && typ != 0 && id != ""
}

// attributes are those of one object. Instances of one name differ by their Index.
type attributes []kmip.Attribute

// accept checks the attributes that a client gives a new object, and copies them off the message.
func accept(given kmip.Attributes, t kmip.ObjectType, v kmip.Version) (attributes, error) {
	taken := make(attributes, 0, len(given)+8)
	for i := range given {
		a := &given[i]
		r, err := writable(a.AttributeName, t, v, set)
		if err == nil {
			err = r.checkValue(a)
		}
		if err == nil {
			err = taken.checkInstance(a, r, v)
		}
		if err != nil {
			return nil, err
		}
		taken.add(*a)
	}
	return taken, taken.checkDates()
}

// checkInstance decides whether one more instance may be there. Before 1.1 a second one has to be told apart by its index.
func (l attributes) checkInstance(a *kmip.Attribute, r rule, v kmip.Version) error {
	_, there := l.find(a.AttributeName, 0)
	switch {
	case r.rights&many == 0 && there:
		return refusal(kmip.InvalidField, "%v more than once", a.AttributeName)
	case r.rights&many == 0 && a.Index != 0, a.Index < 0:
		return refusal(kmip.InvalidField, "%v has index %d", a.AttributeName, a.Index)
	case there && a.Index == 0 && v < kmip.V1_1:
		return refusal(kmip.InvalidField, "another %v needs an index", a.AttributeName)
	case there && l.equal(a) >= 0:
		return refusal(kmip.InvalidField, "%v twice with the same value", a.AttributeName)
	}
	return nil
}

// checkDates checks the dates of an object against each other (sections 3.25 to 3.27).
func (l attributes) checkDates() error {
	for _, pair := range [...][2]ttlv.Tag{
		{ttlv.TagActivationDate, ttlv.TagProcessStartDate},
		{ttlv.TagActivationDate, ttlv.TagDeactivationDate},
		{ttlv.TagProtectStopDate, ttlv.TagDeactivationDate},
	} {
		first, begins := l.time(pair[0])
		second, ends := l.time(pair[1])
		if begins && ends && second.Before(first) {
			return refusal(kmip.InvalidAttributeValue, "the %v is before the %v", pair[1], pair[0])
		}
	}
	return nil
}

// find is where the instance with that index is.
func (l attributes) find(n kmip.AttributeName, index int32) (int, bool) {
	for i := range l {
		if l[i].AttributeName == n && l[i].Index == index {
			return i, true
		}
	}
	return -1, false
}

// equal is where an attribute of the same name and value is, -1 for nowhere.
func (l attributes) equal(a *kmip.Attribute) int {
	for i := range l {
		if l[i].AttributeName == a.AttributeName && l[i].Value.Equal(a.Value) {
			return i
		}
	}
	return -1
}

// first is where the first instance is, -1 for nowhere.
func (l attributes) first(n kmip.AttributeName) int {
	for i := range l {
		if l[i].AttributeName == n {
			return i
		}
	}
	return -1
}

// add appends a copy of the attribute, as the next instance.
func (l *attributes) add(a kmip.Attribute) {
	a.Index = 0
	for i := range *l {
		if (*l)[i].AttributeName == a.AttributeName {
			a.Index = max(a.Index, (*l)[i].Index+1)
		}
	}
	a.Value.Data = slices.Clone(a.Value.Data)
	*l = append(*l, a)
}

// put sets a single attribute, whether it was there or not.
func (l *attributes) put(tag ttlv.Tag, v ttlv.Value) {
	name := kmip.AttributeName{Tag: tag}
	if i := l.first(name); i >= 0 {
		(*l)[i].Value = v
	} else {
		*l = append(*l, kmip.Attribute{AttributeName: name, Value: v})
	}
}

// putNew sets a single attribute where it is not there yet.
func (l *attributes) putNew(tag ttlv.Tag, v ttlv.Value) {
	if !l.has(tag) {
		l.put(tag, v)
	}
}

func (l attributes) has(tag ttlv.Tag) bool { return l.first(kmip.AttributeName{Tag: tag}) >= 0 }

func (l attributes) enum(tag ttlv.Tag) uint32 { return kmip.Attributes(l).Enum(tag) }

func (l attributes) int(tag ttlv.Tag) int32 { return kmip.Attributes(l).Int(tag) }

func (l attributes) time(tag ttlv.Tag) (time.Time, bool) { return kmip.Attributes(l).Time(tag) }

// isTrue reports whether a boolean attribute is there and true.
func (l attributes) isTrue(tag ttlv.Tag) bool { return l.isBool(tag, true) }

func (l attributes) isBool(tag ttlv.Tag, want bool) bool {
	v, ok := kmip.Attributes(l).Value(tag)
	return ok && v.Equal(boolValue(want))
}

func boolValue(b bool) ttlv.Value {
	data := make([]byte, 8)
	if b {
		data[7] = 1
	}
	return ttlv.Value{Type: ttlv.TypeBoolean, Data: data}
}
