//! What each operation does, in the order of RFC 5261 §4.

use super::body;

#[test]
fn each_operation_does_to_the_document_what_its_section_says() {
    for (case, target, operation, result) in [
        // §4.3
        (
            "an element is appended",
            "<d>\n<n/>\n</d>",
            "<add sel='d'><f id='e'>new</f></add>",
            "<d>\n<n/>\n<f id=\"e\">new</f></d>",
        ),
        (
            "an attribute is added",
            "<d><f id='e'/></d>",
            "<add sel=\"d/f[@id='e']\" type='@user'>Bob</add>",
            "<d><f id=\"e\" user=\"Bob\"/></d>",
        ),
        (
            "a namespace is declared",
            "<d/>",
            "<add sel='d' type='namespace::p'>urn:x</add>",
            "<d xmlns:p=\"urn:x\"/>",
        ),
        (
            "a comment goes before",
            "<d><f/></d>",
            "<add sel='d/f' pos='before'><!-- c --></add>",
            "<d><!-- c --><f/></d>",
        ),
        (
            "an element goes after",
            "<d><f/><g/></d>",
            "<add sel='d/f' pos='after'><h/></add>",
            "<d><f/><h/><g/></d>",
        ),
        (
            "an element goes first",
            "<d>t<f/></d>",
            "<add sel='d' pos='prepend'><h/></add>",
            "<d><h/>t<f/></d>",
        ),
        (
            "added white space joins what is there",
            "<d>\n<n/>\n</d>",
            "<add sel='d'>  <f/></add>",
            "<d>\n<n/>\n  <f/></d>",
        ),
        (
            "text after a text joins it",
            "<d><f>a<b/>c</f></d>",
            "<add sel='*/f/text()[2]' pos='after'>new<bar/>elem</add>",
            "<d><f>a<b/>cnew<bar/>elem</f></d>",
        ),
        (
            "text before a text joins it",
            "<d>c</d>",
            "<add sel='d/text()' pos='before'>new<bar/>elem</add>",
            "<d>new<bar/>elemc</d>",
        ),
        (
            "text between two texts joins both",
            "<d>a<b/>c</d>",
            "<remove sel='d/b'/><add sel='d/text()' pos='after'>x</add>",
            "<d>acx</d>",
        ),
        (
            "CDATA is moved unaltered",
            "<d/>",
            "<add sel='d'><![CDATA[<&]]>&lt;</add>",
            "<d><![CDATA[<&]]>&lt;</d>",
        ),
        (
            "an instruction goes before the root",
            "<d/>",
            "<add sel='d' pos='before'><?p q?></add>",
            "<?p q?><d/>",
        ),
        // §4.4
        (
            "an element is replaced",
            "<d><f a='1'>x</f></d>",
            "<replace sel=\"d/f[@a='1']\"><bar a='2'/></replace>",
            "<d><bar a=\"2\"/></d>",
        ),
        (
            "an attribute is replaced",
            "<d a='test'/>",
            "<replace sel='d/@a'>new \"value\"\n</replace>",
            "<d a=\"new &quot;value&quot;&#10;\"/>",
        ),
        (
            "an attribute becomes empty",
            "<d a='test'/>",
            "<replace sel='d/@a'/>",
            "<d a=\"\"/>",
        ),
        (
            "a namespace is replaced",
            "<d xmlns:p='urn:t'><p:f p:a='1'/></d>",
            "<replace sel='d/namespace::p'>urn:new</replace><remove sel='*/n:f/@n:a'/>",
            "<d xmlns:p=\"urn:new\"><p:f/></d>",
        ),
        (
            "a comment is replaced",
            "<d><!-- c --></d>",
            "<replace sel='d/comment()[1]'><!-- n --></replace>",
            "<d><!-- n --></d>",
        ),
        (
            "an instruction is replaced",
            "<d><?other?><?test a?></d>",
            "<replace sel='d/processing-instruction(\"test\")'><?test b?></replace>",
            "<d><?other?><?test b?></d>",
        ),
        (
            "a text is replaced",
            "<d><f>x</f></d>",
            "<replace sel='d/f/text()[1]'>new</replace>",
            "<d><f>new</f></d>",
        ),
        (
            "a text replaced by nothing goes",
            "<d><f>x</f></d>",
            "<replace sel='d/f/text()'/>",
            "<d><f/></d>",
        ),
        (
            "the root element is replaced",
            "<d a='1'/>",
            "<replace sel='*'><e/></replace>",
            "<e/>",
        ),
        // §4.5
        (
            "an element goes with what is behind",
            "<d>\n <f a='1'/>\n</d>",
            "<remove sel=\"d/f[@a='1']\" ws='after'/>",
            "<d>\n </d>",
        ),
        (
            "an element goes with what is before",
            "<d>\n <f/>\n</d>",
            "<remove sel='d/f' ws='before'/>",
            "<d>\n</d>",
        ),
        (
            "an element goes with both",
            "<d>\n <f/>\n</d>",
            "<remove sel='d/f' ws='both'/>",
            "<d/>",
        ),
        (
            "texts around a removed element are one",
            "<d>a<f/>b<g/></d>",
            "<remove sel='d/f'/><remove sel='d/text()'/>",
            "<d><g/></d>",
        ),
        (
            "an attribute goes",
            "<d a='1' b='2'/>",
            "<remove sel='d/@a'/>",
            "<d b=\"2\"/>",
        ),
        (
            "a declaration goes",
            "<d><f xmlns:p='urn:t'/></d>",
            "<remove sel='d/f/namespace::p'/>",
            "<d><f/></d>",
        ),
        (
            "a comment goes",
            "<d>\n<!-- c -->\n</d>",
            "<remove sel='d/comment()[1]' ws='after'/>",
            "<d>\n</d>",
        ),
        (
            "an instruction goes",
            "<d><?t?>x</d>",
            "<remove sel='d/processing-instruction(\"t\")'/>",
            "<d>x</d>",
        ),
        (
            "a text goes",
            "<d><f>x</f></d>",
            "<remove sel='d/f/text()[1]'/>",
            "<d><f/></d>",
        ),
        (
            "each operation sees what the one before left",
            "<d><f/><f/></d>",
            "<remove sel='d/f[1]'/><add sel='d/f[1]' type='@a'>1</add>",
            "<d><f a=\"1\"/></d>",
        ),
    ] {
        let diff = format!("<diff xmlns:n='urn:new'>\n {operation}</diff>");
        assert_eq!(body(target, &diff), result, "{case}");
    }
}

#[test]
fn selectors_find_the_one_node_meant() {
    let target = "<d xmlns:a='urn:a'><e k='1'><v>x</v></e><e k='2' xml:lang='en'><v>y</v><v>z</v></e>\
                  <a:e id='i'>te<b/>xt</a:e><f xml:id='j' a:k=\"it's\">[/]</f></d>";
    for (selector, position) in [
        ("d/e[1]", 1),
        ("/d/e[1]", 1),
        ("*/*[2]", 2),
        ("d/e[@k='2']", 2),
        ("d/e[@k=\"2\"]", 2),
        ("d/e[@xml:lang='en']", 2),
        ("d/e[v='z']", 2),
        ("*/*[v='x'][@k='1'][1]", 1),
        ("d/e[v='y'][1]", 2),
        ("d/n:e", 3),
        ("d/n:*", 0),
        ("d/*[.='text']", 3),
        ("d/*[@n:k=\"it's\"]", 4),
        ("d/f[.='[/]']", 4),
        ("id('i')", 3),
        ("/id(\"j\")", 4),
        ("id()", 0),
        ("d/e", 0),
        ("d/e[3]", 0),
        ("d/e[0]", 0),
        ("d/e[99999999999999999999999]", 0),
        ("d/g", 0),
        ("d/*[2][@k='1']", 0),
    ] {
        let sel = selector.replace('"', "&quot;");
        let diff = format!("<x xmlns:n='urn:a'><add sel=\"{sel}\" type='@hit'>1</add></x>");
        let hit = super::patched(target, &diff, &super::RULES).ok();
        let elements = ["<e k=\"1\"", "<e k=\"2\"", "<a:e ", "<f "];
        let found = hit.map_or(0, |hit| {
            let before = hit.split(" hit=").next().unwrap_or_default();
            let in_front = elements.iter().filter(|start| before.contains(*start));
            in_front.count()
        });
        assert_eq!(found, position, "{selector}");
    }
}

#[test]
fn names_keep_their_namespace_whatever_the_prefixes() {
    for (case, target, declarations, operation, result) in [
        (
            "the prefix of the target is used",
            "<d xmlns:b='foo:'/>",
            "xmlns:a='foo:'",
            "<x:add sel='d'><a:bar a:k='1'/></x:add>",
            "<d xmlns:b=\"foo:\"><b:bar b:k=\"1\"/></d>",
        ),
        (
            "its default namespace too",
            "<d xmlns='foo:'/>",
            "xmlns:a='foo:'",
            "<x:add sel='a:d'><a:bar/></x:add>",
            "<d xmlns=\"foo:\"><bar/></d>",
        ),
        (
            "the same prefix first",
            "<b:d xmlns='foo:' xmlns:a='foo:' xmlns:b='foo:'/>",
            "xmlns:a='foo:'",
            "<x:add sel='*'><a:bar/></x:add>",
            "<b:d xmlns=\"foo:\" xmlns:a=\"foo:\" xmlns:b=\"foo:\"><a:bar/></b:d>",
        ),
        (
            "then that of the element around",
            "<b:d xmlns='foo:' xmlns:a='foo:' xmlns:b='foo:'/>",
            "xmlns:c='foo:'",
            "<x:add sel='*'><c:bar/></x:add>",
            "<b:d xmlns=\"foo:\" xmlns:a=\"foo:\" xmlns:b=\"foo:\"><b:bar/></b:d>",
        ),
        (
            "then the closest before it in the alphabet",
            "<d xmlns:x='foo:' xmlns:y='foo:'/>",
            "xmlns:xx='foo:'",
            "<x:add sel='*'><xx:bar/></x:add>",
            "<d xmlns:x=\"foo:\" xmlns:y=\"foo:\"><x:bar/></d>",
        ),
        (
            "or the first of all",
            "<d xmlns:x='foo:' xmlns:y='foo:'/>",
            "xmlns:a='foo:'",
            "<x:add sel='*'><a:bar/></x:add>",
            "<d xmlns:x=\"foo:\" xmlns:y=\"foo:\"><x:bar/></d>",
        ),
        (
            "an attribute never takes the default",
            "<d xmlns='foo:' xmlns:y='foo:'/>",
            "xmlns:a='foo:'",
            "<x:add sel='*' type='@a:k'>1</x:add>",
            "<d xmlns=\"foo:\" xmlns:y=\"foo:\" y:k=\"1\"/>",
        ),
        (
            "declarations of the content are copied unaltered",
            "<d xmlns:b='foo:'/>",
            "",
            "<x:add sel='d'><a:bar xmlns:a='foo:' xmlns='bar:'><c/></a:bar></x:add>",
            "<d xmlns:b=\"foo:\"><a:bar xmlns:a=\"foo:\" xmlns=\"bar:\"><c/></a:bar></d>",
        ),
        (
            "a prefix that the content hides is declared again",
            "<d xmlns:b='foo:'/>",
            "xmlns:a='foo:'",
            "<x:add sel='d'><bar xmlns:b='other:'><a:c/></bar></x:add>",
            "<d xmlns:b=\"foo:\"><bar xmlns:b=\"other:\"><a:c xmlns:a=\"foo:\"/></bar></d>",
        ),
        (
            "no namespace stays none under a default namespace",
            "<d xmlns='foo:'/>",
            "",
            "<x:add sel='*'><bar/></x:add>",
            "<d xmlns=\"foo:\"><bar xmlns=\"\"/></d>",
        ),
        (
            "the example of appendix A.18",
            "<d xmlns='u:x' xmlns:z='u:y'><e a='foo'><c/></e><e a='bar'>\n<z:c/>\n</e></d>",
            "xmlns='u:x' xmlns:y='u:y'",
            "<x:add sel=\"d/e[@a='foo']\"><c id='e'><y:n/></c></x:add><x:remove sel=\"*/e[@a='bar']/y:c\" ws='both'/>\
             <x:add sel=\"*/e[@a='bar']\" type='@b'>new</x:add>",
            "<d xmlns=\"u:x\" xmlns:z=\"u:y\"><e a=\"foo\"><c/><c id=\"e\"><z:n/></c></e><e a=\"bar\" b=\"new\"/></d>",
        ),
    ] {
        let diff = format!("<x:diff xmlns:x='urn:x' {declarations}>{operation}</x:diff>");
        assert_eq!(body(target, &diff), result, "{case}");
    }
}
