package protocol

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"
)

// KeyManager does what requests ask for, one method an operation. who is nil for a request without a context. Arguments
// are complete and plausible when they arrive. They and who are Serve's again when the method returns, and their secrets
// are overwritten: keep none. A result becomes Serve's, which overwrites the values in it. ctx has the request's deadline
// if it named one. An error that is no *Error reaches the caller as internal, and a context's as unavailable. Errors hold no
// secret of the request, not even where they quote a server.
type KeyManager interface {
	CreateKey(ctx context.Context, who *Context, args *CreateKey) (*KeyID, error)
	CreateKeyPair(ctx context.Context, who *Context, args *CreateKey) (*KeyPair, error)
	StoreKey(ctx context.Context, who *Context, args *StoreKey) (*KeyID, error)
	GetKey(ctx context.Context, who *Context, args *GetKey) (*Object, error)
	CopyKey(ctx context.Context, who *Context, args *CopyKey) (*KeyID, error)
	DeleteKey(ctx context.Context, who *Context, args *DeleteKey) (*Done, error)
	ListKeys(ctx context.Context, who *Context, args *ListKeys) (*KeyList, error)
	AddConsumer(ctx context.Context, who *Context, args *ChangeConsumer) (*Done, error)
	RemoveConsumer(ctx context.Context, who *Context, args *ChangeConsumer) (*Done, error)
	Check(ctx context.Context, who *Context, args *CheckOptions) (*Check, error)
}

// Bounds of what a request may ask for.
const (
	maxBits       = 1 << 16          // of a key: four times the longest RSA modulus anyone uses
	maxDeadlineMS = 24 * 3600 * 1000 // a day
)

// CreateKey are the arguments of create_key and create_key_pair.
type CreateKey struct {
	Algorithm  string // in the caller's case
	Length     int    // bits
	Name       string // "" for none
	Expiration *time.Time
}

func (a *CreateKey) decode(d *decoder) {
	d.object(func(name []byte) {
		switch string(name) {
		case "algorithm":
			d.string(&a.Algorithm)
		case "length":
			d.bits(&a.Length)
		case "name":
			d.string(&a.Name)
		case "expiration":
			d.time(&a.Expiration)
		}
	})
}

func (a *CreateKey) check() error {
	switch {
	case a.Algorithm == "":
		return required("args.algorithm")
	case a.Length == 0:
		return required("args.length")
	}
	return nil
}

// StoreKey are the arguments of store_key. The object has a type and a value, which may be empty.
type StoreKey struct {
	Object     *Object
	Expiration *time.Time
}

func (a *StoreKey) decode(d *decoder) {
	d.object(func(name []byte) {
		switch string(name) {
		case "object":
			a.decodeObject(d)
		case "expiration":
			d.time(&a.Expiration)
		}
	})
}

func (a *StoreKey) decodeObject(d *decoder) {
	if d.expect('{', "an object") {
		a.Clear() // the field may be there twice
		a.Object = new(Object)
		a.Object.decode(d)
	}
}

func (a *StoreKey) check() error {
	if a.Object == nil {
		return required("args.object")
	}
	return a.Object.check()
}

// Clear overwrites the object's value.
func (a *StoreKey) Clear() {
	if a.Object != nil {
		a.Object.Clear()
	}
}

// GetKey are the arguments of get_key.
type GetKey struct {
	KeyID        string // canonical, as in every struct here
	MetadataOnly bool
}

func (a *GetKey) decode(d *decoder) {
	d.object(func(name []byte) {
		switch string(name) {
		case "key_id":
			d.string(&a.KeyID)
		case "metadata_only":
			d.bool(&a.MetadataOnly)
		}
	})
}

func (a *GetKey) check() error { return checkKeyID(&a.KeyID) }

// CopyKey are the arguments of copy_key.
type CopyKey struct {
	KeyID string
}

func (a *CopyKey) decode(d *decoder) {
	d.object(func(name []byte) {
		if string(name) == "key_id" {
			d.string(&a.KeyID)
		}
	})
}

func (a *CopyKey) check() error { return checkKeyID(&a.KeyID) }

// DeleteKey are the arguments of delete_key. Force is Castellan's: delete even if the key has consumers.
type DeleteKey struct {
	KeyID string
	Force bool
}

func (a *DeleteKey) decode(d *decoder) {
	d.object(func(name []byte) {
		switch string(name) {
		case "key_id":
			d.string(&a.KeyID)
		case "force":
			d.bool(&a.Force)
		}
	})
}

func (a *DeleteKey) check() error { return checkKeyID(&a.KeyID) }

// ListKeys are the arguments of list_keys.
type ListKeys struct {
	ObjectType   ObjectType // "" for all types
	MetadataOnly bool
}

func (a *ListKeys) decode(d *decoder) {
	d.object(func(name []byte) {
		switch string(name) {
		case "object_type":
			d.string((*string)(&a.ObjectType))
		case "metadata_only":
			d.bool(&a.MetadataOnly)
		}
	})
}

func (a *ListKeys) check() error {
	if a.ObjectType == "" {
		return nil
	}
	return a.ObjectType.check("args.object_type")
}

// ChangeConsumer are the arguments of add_consumer and remove_consumer.
type ChangeConsumer struct {
	KeyID    string
	Consumer Consumer // complete
}

func (a *ChangeConsumer) decode(d *decoder) {
	d.object(func(name []byte) {
		switch string(name) {
		case "key_id":
			d.string(&a.KeyID)
		case "consumer":
			a.Consumer.decode(d)
		}
	})
}

func (a *ChangeConsumer) check() error {
	if err := checkKeyID(&a.KeyID); err != nil {
		return err
	}
	return a.Consumer.check()
}

// CheckOptions are the arguments of check.
type CheckOptions struct {
	RoundTrip bool // also make, read and destroy a key
}

func (a *CheckOptions) decode(d *decoder) {
	d.object(func(name []byte) {
		if string(name) == "round_trip" {
			d.bool(&a.RoundTrip)
		}
	})
}

func (*CheckOptions) check() error { return nil }

// checkKeyID folds a key id to its canonical form. Databases that compare without case may give it back in either.
func checkKeyID(id *string) error {
	*id = strings.ToLower(*id)
	switch {
	case *id == "":
		return required("args.key_id")
	case !IsUUID(*id):
		return invalid("args.key_id: is not a UUID")
	}
	return nil
}

// request is a request as it is written. The arguments wait until the operation is known.
type request struct {
	version    int64
	id         *string
	op         string
	context    *Context
	args       []byte // part of the request's text
	deadlineMS int64
}

// decode reads the request that begins at byte start of the input. What it can read it reads, whatever the error.
func (r *request) decode(text []byte, start int64) error {
	d := decoder{text: text}
	d.object(func(name []byte) { r.member(&d, name) })
	switch {
	case d.brokenAt != 0:
		return noJSON(start + int64(d.brokenAt) - 1)
	case !utf8.Valid(text):
		return broken("the request that begins at byte %d is not UTF-8", start)
	case r.version != Version: // before other faults, which it may well explain
		return badVersion()
	case d.typeErr != nil:
		return d.typeErr
	case r.deadlineMS < 0 || r.deadlineMS > maxDeadlineMS:
		return invalid("deadline_ms: must be from 0 to %d", maxDeadlineMS)
	}
	return nil
}

func (r *request) member(d *decoder, name []byte) {
	switch string(name) {
	case "version":
		d.int(&r.version)
	case "id":
		r.decodeID(d)
	case "op":
		d.string(&r.op)
	case "context":
		if d.expect('{', "an object") {
			r.context = new(Context)
			r.context.decode(d)
		}
	case "args":
		r.args = d.raw()
	case "deadline_ms":
		d.int(&r.deadlineMS)
	}
}

func (r *request) decodeID(d *decoder) {
	if text, ok := d.characters(); ok && d.brokenAt == 0 {
		id := string(text)
		r.id = &id
	}
}

// Clear overwrites the secrets in the request.
func (r *request) Clear() {
	if r.context != nil {
		r.context.Clear()
	}
}

const operations = "create_key, create_key_pair, store_key, get_key, copy_key, delete_key, list_keys, " +
	"add_consumer, remove_consumer, check"

// execute has the key manager do what the request asks for.
func (r *request) execute(ctx context.Context, km KeyManager) (result, error) {
	switch r.op {
	case "create_key":
		return call(ctx, r, km.CreateKey)
	case "create_key_pair":
		return call(ctx, r, km.CreateKeyPair)
	case "store_key":
		return call(ctx, r, km.StoreKey)
	case "get_key":
		return call(ctx, r, km.GetKey)
	case "copy_key":
		return call(ctx, r, km.CopyKey)
	case "delete_key":
		return call(ctx, r, km.DeleteKey)
	case "list_keys":
		return call(ctx, r, km.ListKeys)
	case "add_consumer":
		return call(ctx, r, km.AddConsumer)
	case "remove_consumer":
		return call(ctx, r, km.RemoveConsumer)
	case "check":
		return call(ctx, r, km.Check)
	}
	return nil, unknownOp(r.op)
}

// arguments are what an operation takes. check completes and judges what was decoded.
type arguments interface {
	decode(d *decoder)
	check() error
}

// pointer is a *A that is arguments.
type pointer[A any] interface {
	*A
	arguments
}

// method is an operation of a key manager.
type method[P any, R result] func(ctx context.Context, who *Context, args P) (R, error)

// call gives a method its arguments.
func call[P pointer[A], R result, A any](ctx context.Context, r *request, do method[P, R]) (result, error) {
	args := P(new(A))
	defer wipe(args)
	if err := decodeArgs(r.args, args); err != nil {
		return nil, err
	}
	ctx, cancel := r.deadline(ctx)
	defer cancel()
	answer, err := do(ctx, r.context, args)
	if err != nil {
		return nil, err // never a nil *T that is no nil result
	}
	return answer, nil
}

func decodeArgs(text []byte, args arguments) error {
	if text != nil {
		d := decoder{text: text, path: [][]byte{[]byte("args")}}
		args.decode(&d)
		if d.typeErr != nil {
			return d.typeErr
		}
	}
	return args.check()
}

func (r *request) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if r.deadlineMS == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, time.Duration(r.deadlineMS)*time.Millisecond)
}

// wipe overwrites the secrets in v, if it is of a kind that has any.
func wipe(v any) {
	if s, ok := v.(interface{ Clear() }); ok {
		s.Clear()
	}
}
