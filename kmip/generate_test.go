package kmip

import (
	"reflect"
	"slices"
	"time"

	"pgregory.net/rapid"

	"kmip-keymgr/internal/secret"
	"kmip-keymgr/ttlv"
)

// This file draws messages of any operation in any version. Payloads are filled by their types, so that a new operation
// is tested by being in the table.

// filler draws values that are possible in one version.
type filler struct {
	*rapid.T
	version Version
}

func (f filler) v1() bool          { return f.version < V2_0 }
func (f filler) maybe() bool       { return rapid.Bool().Draw(f.T, "maybe") }
func (f filler) text() string      { return rapid.StringN(0, 12, 40).Draw(f.T, "text") }
func (f filler) number() uint32    { return rapid.Uint32().Draw(f.T, "number") }
func (f filler) bytes() []byte     { return rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(f.T, "bytes") }
func (f filler) time() time.Time   { return time.Unix(int64(f.number()), 0).UTC() }
func (f filler) tag() ttlv.Tag     { return rapid.SampledFrom(attributeTags[:]).Draw(f.T, "tag") }
func (f filler) version1() Version { return rapid.SampledFrom(Versions()).Draw(f.T, "version") }

func (f filler) value() ttlv.Value {
	switch rapid.IntRange(0, 5).Draw(f.T, "type") {
	case 0:
		return ttlv.IntValue(int32(f.number()))
	case 1:
		return ttlv.EnumValue(f.number())
	case 2:
		return ttlv.TextValue(f.text())
	case 3:
		return ttlv.TimeValue(f.time())
	case 4:
		return ttlv.BytesValue(f.bytes())
	}
	return NameAttribute(f.text()).Value
}

func (f filler) attributeName() AttributeName {
	switch {
	case f.maybe():
		return AttributeName{Tag: f.tag()}
	case f.v1():
		return AttributeName{Name: "x-" + f.text()}
	}
	return AttributeName{Vendor: f.text(), Name: f.text()}
}

func (f filler) attribute() Attribute {
	a := Attribute{AttributeName: f.attributeName(), Value: f.value()}
	if f.v1() {
		a.Index = rapid.Int32Range(-1, 3).Draw(f.T, "index")
	}
	return a
}

func (f filler) object() Object {
	var types []ObjectType
	for t, tag := range objectTags {
		if tag != 0 {
			types = append(types, ObjectType(t))
		}
	}
	o := Object{Type: rapid.SampledFrom(types).Draw(f.T, "object type")}
	switch o.Type {
	case CertificateObject:
		o.CertificateType, o.Value = CertificateType(f.number()), ttlv.BytesValue(f.bytes())
	case OpaqueObject:
		o.OpaqueDataType, o.Value = OpaqueDataType(f.number()), ttlv.BytesValue(f.bytes())
	case SecretDataObject:
		o.SecretDataType = SecretDataType(f.number())
		f.key(&o)
	default:
		f.key(&o)
	}
	return o
}

// key fills what is said of a key, and its value where there is one.
func (f filler) key(o *Object) {
	k := &o.KeyBlock
	f.fill(reflect.ValueOf(k).Elem())
	if f.maybe() {
		o.Value = f.value()
	}
	switch {
	case k.Wrapping != nil && k.Wrapping.Whole:
		o.Value, k.Attributes = ttlv.BytesValue(f.bytes()), nil
	case o.Value.Type == 0:
		k.Attributes = nil
	}
}

// fixed fills what cannot be any value of its type.
func (f filler) fixed(p any) bool {
	switch p := p.(type) {
	case *Version:
		*p = f.version1()
	case *AttributeName:
		*p = f.attributeName()
	case *Attribute:
		*p = f.attribute()
	case **Attribute:
		if !f.v1() && f.maybe() {
			a := f.attribute()
			*p = &a
		}
	case *Object:
		*p = f.object()
	case *ttlv.Value:
		if f.maybe() {
			*p = f.value()
		}
	case **Wrapping:
		if f.maybe() {
			*p = &Wrapping{Whole: f.maybe(), Data: f.value()}
		} else if f.maybe() {
			*p = &Wrapping{Whole: true}
		}
	case *time.Time:
		*p = f.time()
	case *secret.Bytes:
		*p = f.bytes()
	case *[]byte:
		*p = f.bytes()
	default:
		return false
	}
	return true
}

// fill fills anything.
func (f filler) fill(v reflect.Value) {
	if f.fixed(v.Addr().Interface()) {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i))
		}
	case reflect.Slice:
		for range rapid.IntRange(0, 3).Draw(f.T, "length") {
			v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
			f.fill(v.Index(v.Len() - 1))
		}
	case reflect.String:
		v.SetString(f.text())
	case reflect.Bool:
		v.SetBool(f.maybe())
	case reflect.Int32:
		v.SetInt(int64(int32(f.number())))
	case reflect.Uint32:
		v.SetUint(uint64(f.number()))
	default:
		f.Fatalf("no filler for %v", v.Type())
	}
	f.suit(v.Addr().Interface())
}

// suit takes away what a version or another field rules out.
func (f filler) suit(p any) {
	switch p := p.(type) {
	case *AsynchronousIndicator:
		if f.v1() {
			*p = rapid.SampledFrom([]AsynchronousIndicator{0, AsynchronousOptional, AsynchronousProhibited}).Draw(f.T, "asynchronous")
		}
	case *DeleteAttribute:
		if !f.v1() {
			p.Index = 0
		}
		if p.Current != nil { // which is instead of a name
			p.Name = AttributeName{}
		}
	case *AddAttributeResponse:
		f.only1(&p.Attribute)
	case *ModifyAttributeResponse:
		f.only1(&p.Attribute)
	case *DeleteAttributeResponse:
		f.only1(&p.Attribute)
	}
}

func (f filler) only1(a *Attribute) {
	if !f.v1() {
		*a = Attribute{}
	}
}

func (f filler) payload(p Payload) Payload {
	f.fill(reflect.ValueOf(p).Elem())
	return p
}

// someRequest draws a request whose items are all of one operation.
func someRequest(v Version, op Operation) *rapid.Generator[*RequestMessage] {
	return rapid.Custom(func(t *rapid.T) *RequestMessage {
		f := filler{t, v}
		m := new(RequestMessage)
		f.fill(reflect.ValueOf(&m.Header).Elem())
		m.Header.Version = v
		for i := range m.Header.Credentials {
			m.Header.Credentials[i].Value = f.value()
		}
		for range rapid.IntRange(1, 2).Draw(t, "items") {
			i := RequestItem{Operation: op, Payload: f.payload(op.newRequest())}
			if f.maybe() {
				i.ID, i.Extension = f.bytes(), &MessageExtension{f.text(), f.maybe(), f.value()}
			}
			m.Items = append(m.Items, i)
		}
		return m
	})
}

// someResponse draws a response whose items are of one operation, done or failed.
func someResponse(v Version, op Operation) *rapid.Generator[*ResponseMessage] {
	return rapid.Custom(func(t *rapid.T) *ResponseMessage {
		f := filler{t, v}
		m := new(ResponseMessage)
		f.fill(reflect.ValueOf(&m.Header).Elem())
		m.Header.Version = v
		m.Items = []ResponseItem{{Operation: op, Payload: f.payload(op.newResponse())}}
		if f.maybe() {
			failed := ResponseItem{Operation: op, ID: f.bytes(), Status: StatusFailed, Reason: ResultReason(f.number()), Message: f.text()}
			m.Items = append(m.Items, failed)
		}
		return m
	})
}

// message is what both directions have in common.
type message interface {
	Append(*ttlv.Coder, []byte) ([]byte, error)
	Decode(*ttlv.Coder, []byte) error
}

// empty is a new message of the same direction.
func empty(m message) message {
	if _, ok := m.(*RequestMessage); ok {
		return new(RequestMessage)
	}
	return new(ResponseMessage)
}

// samples are two messages of every operation in the versions given, in both directions: the same in every run.
func samples(versions ...Version) []message {
	var all []message
	for _, v := range versions {
		for i, op := range Operations() {
			all = append(all, someRequest(v, op).Example(i), someResponse(v, op).Example(i))
		}
	}
	return slices.Clip(all)
}
