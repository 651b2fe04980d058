package novaconf

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"gopkg.in/ini.v1"
)

// The dialect is iniparser.py's. A line that starts with a space or a tab continues the value before it, whatever it
// holds; comments are whole lines; a blank line ends a value; white space is what Python's str.strip() says it is.
// ini.v1 can be told none of these, so each file is first rewritten, line by line, as text that means the same to both:
//
//	[options]
//	.host=12:kms1
//
// The dot keeps ini.v1 from reading a key as a quoted or numbered one, and the line number, which errors want anyway,
// keeps it from reading a value as quoted or from trimming it. Lines of one value are joined by a carriage return,
// which no line can hold (Python's universal newlines), and parted again when the value is looked up.

// section is one group of one file. ini.v1 reads it when the group is first asked for: of a long nova.conf, a few lines.
type section struct {
	text    []byte
	options int
	values  map[string]string // as ini.v1 gives them, by the keys it read
}

// ini.v1 looks through all keys of a section for each new one, so a long section is given to it in parts of this size.
const partSize = 100

func (s *section) add(key string, lines []string, number int) {
	if s.options%partSize == 0 {
		s.text = append(s.text, "[options]\n"...)
	}
	s.options++
	s.text = append(append(append(s.text, '.'), key...), '=')
	s.text = append(strconv.AppendInt(s.text, int64(number), 10), ':')
	for i, line := range lines {
		if i > 0 {
			s.text = append(s.text, '\r')
		}
		s.text = append(s.text, line...)
	}
	s.text = append(s.text, '\n')
}

// parse keeps the last value given to an option, since that is the one oslo.config takes.
func (s *section) parse() error {
	if s.values != nil {
		return nil
	}
	file, err := ini.LoadSources(ini.LoadOptions{
		IgnoreContinuation:     true,
		IgnoreInlineComment:    true,
		AllowNonUniqueSections: true,
		KeyValueDelimiters:     "=",
	}, s.text)
	if err != nil {
		return err
	}
	s.values = make(map[string]string, s.options)
	for _, part := range file.Sections() {
		for _, key := range part.Keys() {
			s.values[key.Name()] = key.Value()
		}
	}
	return nil
}

// names are the options that were given a value, sorted.
func (s *section) names() []string {
	if s.parse() != nil {
		return nil
	}
	names := slices.Sorted(maps.Keys(s.values))
	for i, key := range names {
		names[i] = strings.TrimPrefix(key, ".")
	}
	return names
}

func (s *section) lookup(option string) (value string, line int, ok bool, err error) {
	if err := s.parse(); err != nil {
		return "", 0, false, err
	}
	numbered, ok := s.values["."+option]
	if !ok {
		return "", 0, false, nil
	}
	number, value, _ := strings.Cut(numbered, ":")
	line, err = strconv.Atoi(number)
	return unwrap(value), line, true, err
}

// unwrap drops one pair of quotes around the value's first line (iniparser.py, _split_key_value, which makes nothing
// of a lone quote) and parts the lines.
func unwrap(value string) string {
	first, rest, more := strings.Cut(value, "\r")
	if n := len(first); n > 0 && (first[0] == '"' || first[0] == '\'') && first[0] == first[n-1] {
		first = first[min(1, n-1) : n-1]
	}
	if !more {
		return first
	}
	return first + "\n" + strings.ReplaceAll(rest, "\r", "\n")
}

// parser follows iniparser.py's BaseParser.parse line by line.
type parser struct {
	path     string
	sections map[string]*section
	current  *section
	line     int
	key      string // of the value being read; empty outside of one
	keyLine  int
	value    []string // its lines
}

// parseFile rewrites a file's text as sections by their normalised names.
func parseFile(path, text string) (map[string]*section, error) {
	p := parser{path: path, sections: map[string]*section{}}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", "\n")
	for line := range strings.SplitSeq(text, "\n") {
		p.line++
		if err := p.read(strings.TrimRightFunc(line, isSpace)); err != nil {
			return nil, err
		}
	}
	p.flush()
	return p.sections, nil
}

func (p *parser) read(line string) error {
	if line != "" && (line[0] == ' ' || line[0] == '\t') {
		return p.continuation(strings.TrimLeftFunc(line, isSpace))
	}
	p.flush()
	switch {
	case line == "", line[0] == '#', line[0] == ';':
		return nil
	case line[0] == '[':
		return p.header(line)
	}
	return p.assignment(line)
}

func (p *parser) continuation(text string) error {
	if p.key == "" {
		return p.fail("a line that starts with white space continues an option, and there is none here")
	}
	p.value = append(p.value, text)
	return nil
}

func (p *parser) header(line string) error {
	if !strings.HasSuffix(line, "]") {
		return p.fail("a section's line must end with ]")
	}
	if line == "[]" {
		return p.fail("a section's name is empty")
	}
	name := normalize(line[1 : len(line)-1])
	if p.sections[name] == nil {
		p.sections[name] = &section{}
	}
	p.current = p.sections[name]
	return nil
}

func (p *parser) assignment(line string) error {
	i := strings.IndexAny(line, "=:")
	if i < 0 {
		return p.fail("no = or : after an option's name")
	}
	key := strings.TrimFunc(line[:i], isSpace)
	if key == "" {
		return p.fail("an option's name is empty")
	}
	if p.current == nil {
		return p.fail("an option before the first section")
	}
	p.key, p.keyLine = key, p.line
	p.value = append(p.value[:0], strings.TrimFunc(line[i+1:], isSpace))
	return nil
}

// flush ends the value being read, if any.
func (p *parser) flush() {
	if p.key == "" {
		return
	}
	p.current.add(p.key, p.value, p.keyLine)
	p.key = ""
}

// fail leaves the line's text out: it may be a piece of a password.
func (p *parser) fail(reason string) error {
	return &Error{File: p.path, Line: p.line, Reason: reason}
}

// isSpace is Python's str.isspace(), by which its strip() goes: Go's white space and four separators of ASCII.
func isSpace(r rune) bool {
	return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f
}

// normalize folds the case of a group's name as cfg.py's _normalize_group_name does. Python's lower() keeps the dot of
// U+0130, Go's drops it.
func normalize(group string) string {
	if group == "DEFAULT" {
		return group
	}
	return strings.ToLower(strings.ReplaceAll(group, "\u0130", "i\u0307"))
}
