//! What documents and edits are made of, by chance: valid ones, and such as are not quite.

use super::*;
use crate::xdm::usage::Readers;
use crate::xdm::usage::declared::Declaration;
use proptest::sample::select;

const SCHEMA: &str = r###"<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="urn:t" targetNamespace="urn:t" elementFormDefault="qualified">
 <xs:element name="r" type="R"/>
 <xs:complexType name="R"><xs:sequence>
  <xs:element name="a" type="A" minOccurs="0"/>
  <xs:choice minOccurs="0" maxOccurs="unbounded">
   <xs:element name="b" type="B"/><xs:element name="c" type="C"/><xs:element ref="h"/>
   <xs:element name="w" type="W"/><xs:element name="k" type="K"/>
   <xs:any namespace="##other" processContents="lax"/>
  </xs:choice>
  <xs:element name="d" type="xs:int" minOccurs="0" maxOccurs="2"/>
  <xs:element name="a" type="A" minOccurs="0"/>
 </xs:sequence><xs:attribute name="v" type="xs:int"/></xs:complexType>
 <xs:complexType name="A"><xs:sequence><xs:element name="d" type="xs:int" minOccurs="0"/></xs:sequence></xs:complexType>
 <xs:complexType name="B"><xs:sequence>
  <xs:element name="b" type="B" minOccurs="0" maxOccurs="3"/><xs:element name="t" type="T" minOccurs="0"/>
 </xs:sequence><xs:attribute name="id" type="xs:ID"/><xs:attribute name="n" type="xs:int"/></xs:complexType>
 <xs:complexType name="B2"><xs:complexContent><xs:extension base="B">
  <xs:sequence><xs:element name="u" type="xs:ID" minOccurs="0" maxOccurs="2"/></xs:sequence>
  <xs:attribute name="m" type="xs:int"/></xs:extension></xs:complexContent></xs:complexType>
 <xs:complexType name="C"><xs:all><xs:element name="d" type="xs:int" minOccurs="0"/><xs:element name="t" type="T" minOccurs="0"/></xs:all>
  <xs:attribute name="ref" type="xs:IDREF"/></xs:complexType>
 <xs:complexType name="T" mixed="true"><xs:sequence>
  <xs:any namespace="##any" processContents="lax" minOccurs="0" maxOccurs="unbounded"/></xs:sequence><xs:anyAttribute namespace="##other" processContents="lax"/></xs:complexType>
 <xs:complexType name="W"><xs:sequence><xs:element name="g" type="xs:int" minOccurs="0"/>
  <xs:any namespace="##any" processContents="skip" minOccurs="0" maxOccurs="unbounded"/></xs:sequence></xs:complexType>
 <xs:complexType name="K"><xs:sequence><xs:element name="q" type="A"/><xs:element name="g" type="xs:int" minOccurs="0"/></xs:sequence></xs:complexType>
 <xs:element name="h" type="B"/><xs:element name="h1" type="B2" substitutionGroup="h"/>
</xs:schema>"###;

pub(super) fn declaration() -> Declaration {
    Declaration {
        auid: "t".into(),
        media_type: "application/t+xml".into(),
        namespace: "urn:t".into(),
        schemas: vec![("t.xsd".into(), SCHEMA.into())],
        name: None,
        bytes: 4096,
        global: None::<Readers>,
    }
}

/// How documents and edits of one usage look.
#[derive(Clone, Copy)]
pub(super) struct Words {
    pub(super) around: (&'static str, &'static str),
    /// What may stand in the document element, in this order, and what in place of the braces in it.
    top: &'static [&'static str],
    inner: &'static [&'static str],
    between: &'static [&'static str],
    /// Bodies that are seldom right.
    odd: &'static [&'static str],
    steps: &'static [&'static str],
    ends: &'static [&'static str],
    values: &'static [&'static str],
}

const LIST: &[&str] = &[
    "<display-name>{}</display-name>",
    "<entry uri='sip:a@x'/>",
    "<entry uri=\"sip:b@x\"><display-name>B &amp; <![CDATA[</list>]]></display-name></entry>",
    "<l:entry uri='sip:a@xx'\n x:uri='sip:a@x' />",
    "<entry uri='a&#32;b'/>",
    "<entry uri='a\tc'/>",
    "<entry xmlns='urn:ietf:params:xml:ns:resource-lists' uri='n'/>",
    "<list name='a'>{}</list>",
    "<list name=\"b c\">{}</list>",
    "<l:list>{}<!-- 'sip:a@x' & --></l:list >",
    "<entry-ref ref='a/b'/>",
    "<external anchor='http://a/b'><display-name xml:lang='en'>E</display-name></external>",
    "<external><x:any/></external>",
    "<x:any uri='sip:a@x'><x:entry/></x:any>",
    "<l:entry xmlns:l='urn:x' uri='f'/>",
];

pub(super) const LISTS: Words = Words {
    around: (
        "<?xml version='1.0'?>\n<resource-lists xmlns='urn:ietf:params:xml:ns:resource-lists' xmlns:l='urn:ietf:params:xml:ns:resource-lists' xmlns:x='urn:x'>",
        "</resource-lists>\n<!-- -->",
    ),
    top: &[
        "<list name='a'>{}</list>",
        "<l:list name='&#98;'>{}</l:list>",
        "<list x:uri='1'>{}</list>",
        "<list name=\"b c\">{}</list>",
    ],
    inner: LIST,
    between: &["", "", "", "\n ", "<!-- 'sip:a@x' & -->", "<?p <list> ?>"],
    odd: &[
        "<entry/>",
        "<entry uri='new'>text</entry>",
        "<entry uri='new' more=''/>",
        "<entry xmlns='' uri='new'/>",
        "<x:entry uri='new'/>",
        "<y:entry uri='new'/>",
        "<external anchor='a'/>",
        "<entry-ref ref='http:x'/>",
        "<list name='a'><entry uri='c'/><entry uri='c'/></list>",
        "<list name='b'><l:list><display-name/><entry uri='c'/></l:list></list>",
        "<entry uri='&#115;ip:a@x'/>",
        "<entry uri='b c'/>",
        "<entry uri='a b'/>",
        "<list name='b'/>",
        "<list xmlns:l='urn:x'><l:entry/></list>",
        "<entry uri='new'>",
    ],
    steps: &[
        "/list",
        "/list[1]",
        "/list[2]",
        "/list[@name='a']",
        "/list[@name='b']",
        "/list[@name='b%20c']",
        "/list[3]",
        "/entry",
        "/entry[1]",
        "/entry[2]",
        "/entry[4]",
        "/entry[@uri='sip:a@x']",
        "/entry[@uri='sip:b@x']",
        "/entry[@uri='a%20b']",
        "/entry[@uri='new']",
        "/display-name",
        "/*[1]",
        "/*[2]",
        "/*[3]",
        "/x:any",
        "/external[1]",
        "/*[4]",
        "/*[5]",
        "/*[6]",
        "/entry-ref[1]",
    ],
    ends: &[
        "",
        "",
        "",
        "",
        "",
        "/@name",
        "/@uri",
        "/@anchor",
        "/@x:uri",
        "/@xml:lang",
    ],
    values: &[
        "'a'",
        "\"b\"",
        "'sip:a@x'",
        "'sip:b@x'",
        "'a&#32;b'",
        "'http://a/b'",
        "'é'",
        "''",
        "'en'",
        "'a c'",
    ],
};

pub(super) const DECLARED: Words = Words {
    around: (
        "<r xmlns='urn:t' xmlns:x='urn:x' xmlns:t='urn:t' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'>",
        "</r>",
    ),
    top: &[
        "<a/>",
        "<b id='i'>{}</b>",
        "<b n='1'>{}</b>",
        "<c><t>{}</t></c>",
        "<c ref='i'/>",
        "<t:h1 m='2'>{}</t:h1>",
        "<h>{}</h>",
        "<x:b id='i'>{}</x:b>",
        "<b xsi:type='B2' id=' k '><b/></b>",
        "<b xsi:type='t:B2' m='1'><u>l<!-- --></u></b>",
        "<w><g>1</g><g>x</g></w>",
        "<k><q/></k>",
        "<k><q/><g>3</g></k>",
        "<d>1</d>",
        "<d> 2\n</d>",
        "<a><d>1</d></a>",
    ],
    inner: &[
        "<b id='j'>{}</b>",
        "<b n='1'><t>text</t></b>",
        "<b xmlns:t='urn:x' />",
        "<t>i<x:y/><h id='m'/></t>",
    ],
    between: &["", "", "", " \n", "<!-- i -->"],
    odd: &[
        "<b id='i'/>",
        "<b id='&#106;'/>",
        "<b id='z' n='1'><b id='z'/></b>",
        "<b id='z'><b id='y'/></b>",
        "<b n='x'/>",
        "<b><b/><b/><b/><b/></b>",
        "<c><t/><d>1</d></c>",
        "<c ref='z'/>",
        "<c ref='i'/>",
        "<g>1</g>",
        "<g>y</g>",
        "<q/>",
        "<u>i</u>",
        "<u>z</u>",
        "<d>1</d>",
        "<d>x</d>",
        "<a/>",
        "<t><r/></t>",
        "<t><t:z/></t>",
        "<t x:a='1' xml:id='l'/>",
        "<h1 xsi:type='B'/>",
        "<b xsi:type='A'/>",
        "<b xmlns='urn:x'/>",
        "<t:b/>",
        "text",
    ],
    steps: &[
        "/a",
        "/a[1]",
        "/a[2]",
        "/b",
        "/b[1]",
        "/b[2]",
        "/b[@id='i']",
        "/b[@id='j']",
        "/c",
        "/c[1]",
        "/d",
        "/d[1]",
        "/d[2]",
        "/t",
        "/h",
        "/h1",
        "/x:b",
        "/*[1]",
        "/*[2]",
        "/*[3]",
        "/u",
        "/g",
        "/g[1]",
        "/q",
        "/*[4]",
        "/u[2]",
    ],
    ends: &[
        "", "", "", "", "/@id", "/@n", "/@m", "/@ref", "/@x:a", "/@v",
    ],
    values: &["'i'", "'j'", "'1'", "'x'", "' k '", "''", "'z'"],
};

/// A selector and the body to put there; none: a DELETE.
pub(super) type Edit = (String, Option<String>);

/// An edit of a document that is not known yet: of some element in it, by its places or its attributes, or below it.
pub(super) type Plan = (
    prop::sample::Index,
    bool,
    Vec<&'static str>,
    &'static str,
    Option<String>,
);

/// Some of these, in their order.
pub(super) fn content(words: Words, level: u32) -> BoxedStrategy<String> {
    let (members, inner) = match level {
        0 => (words.top, content(words, 1)),
        1 => (words.inner, content(words, 2)),
        2 => (words.inner, Just(String::new()).boxed()),
        _ => return Just(String::new()).boxed(),
    };
    let some = prop::sample::subsequence(members, 0..=members.len().min(6));
    let inners = prop::collection::vec((inner, select(words.between)), members.len());
    (some, inners)
        .prop_map(|(some, inners)| {
            let some = some.iter().zip(inners);
            some.map(|(member, (inner, between))| {
                let text = member.starts_with("<display-name");
                let inner = if text { "D" } else { &inner };
                format!("{}{between}", member.replace("{}", inner))
            })
            .collect::<String>()
        })
        .boxed()
}

pub(super) fn plans(words: Words) -> impl Strategy<Value = Plan> {
    let steps = prop::collection::vec(select(words.steps), 0..2);
    let filled = |members| {
        (select(members), content(words, 2))
            .prop_map(|(member, inner): (&str, String)| member.replace("{}", &inner))
    };
    let body = prop_oneof![
        1 => filled(words.top).prop_map(Some),
        3 => filled(words.inner).prop_map(Some),
        2 => filled(words.odd).prop_map(Some),
        2 => Just(None),
    ];
    let body = (select(words.ends), body, select(words.values)).prop_map(|(end, body, value)| {
        let body = body.map(|body| {
            if end.is_empty() {
                body
            } else {
                value.to_owned()
            }
        });
        (end, body)
    });
    (any::<prop::sample::Index>(), any::<bool>(), steps, body)
        .prop_map(|(element, placed, steps, (end, body))| (element, placed, steps, end, body))
}

/// The edit of this document.
pub(super) fn edit_of(text: &str, (element, placed, steps, end, body): &Plan) -> Edit {
    let document = roxmltree::Document::parse(text).unwrap();
    let elements = || document.descendants().filter(roxmltree::Node::is_element);
    let element = elements().nth(element.index(elements().count())).unwrap();
    let mut way: Vec<String> = element
        .ancestors()
        .filter(roxmltree::Node::is_element)
        .map(|node| {
            let place = node
                .prev_siblings()
                .filter(roxmltree::Node::is_element)
                .count();
            let tested = node.attributes().find(|a| a.namespace().is_none());
            match tested.filter(|_| !placed) {
                Some(tested) => {
                    let value = tested
                        .value()
                        .replace('&', "&amp;")
                        .replace(' ', "%20")
                        .replace('\t', "%09");
                    format!("*[@{}='{value}']", tested.name())
                }
                None => format!("*[{place}]"),
            }
        })
        .collect();
    way.reverse();
    (
        format!("{}{}{end}", way.join("/"), steps.concat()),
        body.clone(),
    )
}
