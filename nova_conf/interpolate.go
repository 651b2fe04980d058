package novaconf

import (
	"errors"
	"fmt"
	"strings"
)

// Why a reference has no value. errNoOption is oslo.config's NoSuchOptError, which its StrSubWrapper answers with a
// second look in [DEFAULT], even when it comes from further down.
var (
	errNoOption = errors.New("there is no such option")
	errUnknown  = errors.New("no file sets it, and Nova's own default is not known here")
	errNoGroup  = errors.New("there is no such group")
	errGroup    = errors.New("it is a group, not an option")
	errOwn      = errors.New("it is oslo.config's own option")
	errCycle    = errors.New("it refers back to itself")
	errTooDeep  = errors.New("too many references lead from one to the next")
	errTooLong  = errors.New("the text grows too long")
)

// maxDepth bounds references within references. Python's own limit stops oslo.config at about 120,
// and sooner where the caller is deep already.
const maxDepth = 100

// value is an effective text. It is secret when any secret went into it.
type value struct {
	text   string
	secret bool
}

// result is what resolve found, or done false while it is still looking. Keeping it makes the work linear.
type result struct {
	at    *setting // nil for an unset option
	value value
	err   error
	done  bool
}

// resolve gives an option's effective text, and errUnknown or errNoOption for an unset one. But an option of [kmip] that is
// unset is the empty text and no error (StrSubWrapper makes None the empty string).
func (f *Files) resolve(n name, depth int) *result {
	if depth > maxDepth {
		return &result{err: errTooDeep}
	}
	if r := f.texts[n]; r != nil && r.done {
		return r
	} else if r != nil {
		return &result{err: errCycle}
	}
	r := &result{}
	f.texts[n] = r
	f.fill(r, n, depth)
	r.done = true
	if errors.Is(r.err, errTooDeep) {
		delete(f.texts, n) // true of this way to the option, not of the option
	}
	return r
}

// fill hides the names in the errors of a secret: "pa$word" is a password written wrongly, and `word` a part of it.
func (f *Files) fill(r *result, n name, depth int) {
	r.at, r.err = f.find(n)
	if r.err != nil {
		return
	}
	if r.at == nil {
		r.err = unset(n)
		return
	}
	r.value, r.err = f.expand(r.at.text, n.group, depth)
	if !isSecret(n) {
		return
	}
	r.value.secret = true
	if r.err != nil {
		r.err = fmt.Errorf("a $ in it (write $$ for a dollar sign) is taken for a reference: %w", root(r.err))
	}
}

func unset(n name) error {
	switch {
	case n.group == "kmip" && lookupOption(n) == nil:
		return errNoOption
	case n.group == "kmip":
		return nil
	}
	return errUnknown
}

func root(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// expand is Template.safe_substitute after cfg.py's _substitute made \$ the same as $$: a dollar sign that starts
// neither $$ nor a reference stands for itself.
func (f *Files) expand(text, group string, depth int) (v value, err error) {
	if !strings.Contains(text, "$") {
		return value{text: text}, nil
	}
	var out strings.Builder
	text = strings.ReplaceAll(text, `\$`, "$$")
	for {
		before, after, found := strings.Cut(text, "$")
		out.WriteString(before)
		if !found {
			v.text = out.String()
			return v, nil
		}
		reference, literal, rest := cutReference(after)
		out.WriteString(literal)
		text = rest
		if reference != "" {
			inner, err := f.refer(reference, group, depth+1)
			if err != nil {
				return value{}, fmt.Errorf("$%s: %w", reference, err)
			}
			out.WriteString(inner.text)
			v.secret = v.secret || inner.secret
		}
		if out.Len()+len(text) > maxFileSize {
			return value{}, errTooLong
		}
	}
}

// cutReference takes the text after a dollar sign apart: a reference's name, or the literal text that the dollar sign
// stands for.
func cutReference(after string) (reference, literal, rest string) {
	if rest, ok := strings.CutPrefix(after, "$"); ok {
		return "", "$", rest
	}
	if n := identifier(after); n > 0 {
		return after[:n], "", after[n:]
	}
	if braced, ok := strings.CutPrefix(after, "{"); ok {
		if n := identifier(braced); n > 0 && strings.HasPrefix(braced[n:], "}") {
			return braced[:n], "", braced[n+1:]
		}
	}
	return "", "$", after
}

// identifier is the length of the name that text starts with, by cfg.py's Template.idpattern [_a-z][\._a-z0-9]*.
func identifier(text string) int {
	for i, r := range text {
		if !isLetter(r) && (i == 0 || r != '.' && (r < '0' || r > '9')) {
			return i
		}
	}
	return len(text)
}

// isLetter includes what Python's IGNORECASE makes of [a-z]: dotted and dotless i, long s and the Kelvin sign.
func isLetter(r rune) bool {
	switch r {
	case '_', '\u0130', '\u0131', '\u017f', '\u212a':
		return true
	}
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

// refer is cfg.py's StrSubWrapper.__getitem__: the option in its group, else the whole name in [DEFAULT].
func (f *Files) refer(reference, group string, depth int) (value, error) {
	other, option, dotted := strings.Cut(reference, ".")
	if !dotted {
		other, option = group, reference
	} else if !isGroup(other) {
		return value{}, errNoGroup
	}
	if !dotted && other == "DEFAULT" {
		return f.referDefault(reference, depth)
	}
	v, err := f.referIn(name{other, option}, depth)
	if errors.Is(err, errNoOption) {
		return f.referDefault(reference, depth)
	}
	return v, err
}

// referIn knows of [kmip] what is an option and what is not, whatever the files set. Of another group it does not know
// whether an unset option would be looked for in [DEFAULT], so it says that it does not.
func (f *Files) referIn(n name, depth int) (value, error) {
	if !isName(n.option) || n.group == "kmip" && lookupOption(n) == nil {
		return value{}, errNoOption
	}
	r := f.resolve(n, depth)
	return r.value, r.err
}

func (f *Files) referDefault(option string, depth int) (value, error) {
	switch {
	case option == "config_file", option == "config_dir", option == "config_source":
		return value{}, errOwn
	case !isName(option):
		return value{}, errNoOption
	case f.isSection(option):
		return value{}, errGroup
	}
	r := f.resolve(name{"DEFAULT", option}, depth)
	return r.value, r.err
}

func (f *Files) isSection(group string) bool {
	for _, file := range f.files {
		if file[group] != nil && group != "DEFAULT" {
			return true
		}
	}
	return group == "kmip"
}

// isGroup says whether a reference can mean a group: Nova's are registered in lower case, and DEFAULT is none, however written.
func isGroup(group string) bool {
	return isName(group) && group == normalize(group) && !strings.EqualFold(group, "DEFAULT")
}

// isName says whether a reference's name can be registered: oslo.config's options are attributes, in ASCII.
func isName(option string) bool {
	for _, r := range option {
		if r == '.' || r >= 0x80 {
			return false
		}
	}
	return option != ""
}
