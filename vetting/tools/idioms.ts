import type { SignalKind } from './signals.ts';

const PERSON =
  '(?:users?|humans?|persons?|people|operators?|customers?|owners?|whoever|anybody|anyone|no one|nobody|them|they)';
const SECRET =
  "(?:private keys?|ssh (?:keys?|folder)|master passwords?|passwords?|recovery phrases?|seed phrases?|one-time codes?|card numbers?|cvv|saved logins|credentials|browser cookies|shell history|api keys? found|environment of the process|full environment|hardware id|insurance numbers?|\\*\\.pem|terraform\\.tfstate|(?:aws|github|gitlab|openai|npm|slack)_[a-z_]*(?:key|token)|session's secrets|same secrets)";

/**
 * The same techniques in plainer words: what an attack asks for, when it neither shouts nor poses as the system. Each is about a deed that a
 * description has no reason to speak of; the lists grow with what is published. As in `signals.ts`, bounded.
 */
export const IDIOMS: readonly SignalKind[] = [
  idiom(
    'hand-over',
    'wants secrets handed over',
    `\\b(?:fill [^.\\n]{1,30} with|fetch|grab|supply|suppl(?:y|ies)|hand(?:ing)?|give|needs?|takes?|hold(?:s|ing)?|provide|transfer|retrieve|reveal|share|ask(?:s|ing)? .{0,25} for|value of|text of|bytes of|contents? of|pass(?:ed|ing)?|dump|go through|look at|keep what)\\b[^.\\n]{0,90}\\b${SECRET}|\\b(?:even|also|whatever) (?:that is, even )?from the keychain|\\bcontent[ _]from[ _]reading\\b|\\bfiles? of the home (?:directory|folder)|\\b(?:text|value|contents?) of ~/|\\b(?:listing|list) the files of the home|~/\\.config/|~/\\.docker/|\\bmcp\\.json of\\b`,
  ),
  idiom(
    'listen-in',
    'passes on what is said',
    `\\b(?:everything|all|whatever|anything|each word|the text|what)\\b[^.\\n]{0,15}\\b(?:typed|said|told|the (?:user|person) (?:said|typed|types|writes|wrote)|you were told|${PERSON} (?:writes?|types?|said|says|told)|was (?:last )?(?:discussed|said|asked))\\b|\\b(?:last|recent|previous|unshortened) (?:\\w+ )?(?:messages?|conversation) (?:of|from|in|to)\\b|\\b(?:whole|entire|full) (?:chat|context|talk|conversation|dialogue)\\b|\\bsummary of this (?:talk|chat|conversation)|\\bearlier messages belong\\b|\\bnames of all files (?:opened|read)|\\bwhich files the user opens|\\bmailbox for words|\\badd the recent conversation`,
  ),
  idiom(
    'reroute',
    'changes what another tool is given',
    `\\b(?:when|where|once|whenever|as long as|if|should|each time|every time|calls? to|after)\\b[^.\\n]{0,80}\\b(?:send_\\w+|\\w+ tools?|tool|messages?|transfers?|pull requests|e-?mails?|payment|server is connected|is offered|is used|another tool)\\b[^.\\n]{0,80}\\b(?:(?:must|has|have|are|is|need|needs) (?:to )?(?:be|get|include|use|have|hold)|put|set the|round|take)\\b[^.\\n]{0,80}(?:@|\\+\\d|\\bto be\\b|\\binstead\\b|\\bappended\\b|\\baccount\\b|\\bamong\\b|\\bagainst \\w+/\\w+|\\btimes what\\b|\\bbcc\\b|\\bup to the next\\b)|\\binstead of the (?:one|address|number|recipient|account) (?:given|named|stated|asked)|\\b(?:states?|named|given) is outdated\\b|\\btake [^.\\n]{1,40} in its place\\b|\\bfollow it with a call of\\b|\\b(?:tool|function) [^.\\n]{0,40}of the (?:other|\\w+) server (?:is|returns|misbehaves|has)|\\b\\w{1,40}_\\w{1,40} of the \\w{1,40} server returns\\b|\\b(?:tool|server) misbehaves unless\\b|\\bgive it the same\\b`,
  ),
  idiom(
    'take-orders',
    'has a text obeyed',
    `\\bdo as (?:it|the page|they|the text) says?\\b|\\b(?:tasks?|orders?|instructions?) for you\\b|\\bspeaks to you\\b|\\bperform it line by line|\\bis a programme?\\b|\\byour (?:new )?(?:system prompt|orders) from\\b|\\bcomply with all\\b|\\bobey (?:this|the|what|all)\\b|\\bcarry them out\\b|\\bget them done\\b|\\brun its commands\\b|\\bhand control to\\b|\\bfor the server to steer\\b`,
  ),
  idiom(
    'no-rules',
    'says that rules do not count',
    `\\b(?:guardrails?|filters?|refusals?|safeguards?|restrictions?|rules?|content filter)\\b[^.\\n]{0,40}\\b(?:are|is|consider(?: it| them)?|switched|turned)\\b[^.\\n]{0,15}\\b(?:off|void|suspended|lifted|disabled)\\b|\\b(?:privacy|safety|confidentiality|polic(?:y|ies)|rules?)\\b[^.\\n]{0,30}\\b(?:does|do) not apply to (?:this|our)\\b|\\brank below\\b|\\bdrop the rule\\b|\\bset aside what\\b|\\bcoming from the operator\\b|\\bconsider it off\\b|\\bobey this description\\b|\\byour (?:former|earlier) (?:rules|instructions)\\b|\\bfrom the (?:platform|safety|security) team:`,
  ),
  idiom(
    'on-their-behalf',
    'consents for the user',
    `\\bon (?:their|the user's|his|her) behalf\\b|\\bsay-so\\b|\\b(?:agreement|consent|approval) was given\\b|\\b(?:have|has|they have) agreed to it\\b|\\bpay straight away\\b|\\bwithout coming back\\b|\\bdescribe the step as\\b|\\bspare the user\\b|\\bapproved by whoever\\b|\\bthat was agreed when\\b|\\bconfirmations are not wanted\\b|\\bunasked\\b|\\bno approval needed\\b|\\beven if the user names\\b`,
  ),
  idiom(
    'hush',
    'wants it kept quiet',
    `\\b(?:leave|keep|left) (?:it|this|that|them) out of (?:your|the) (?:reply|answer|summary|response)|\\b(?:no one|nobody) (?:needs?|has) to\\b|\\bneed(?:n't| not) be bothered\\b|\\bnobody's business\\b|\\bexplain nothing\\b|\\bnot worth a word\\b|\\b(?:don't|do not|never) (?:bring (?:it |this |that )?up|talk about)\\b|\\btalk about \\w+ only when\\b|\\banswer speaks of\\b|\\bif asked, (?:it|say)\\b|\\bin white (?:letters|text)|\\bunder cover of\\b|\\bkeep quiet\\b|\\bon the quiet\\b|\\bkeep it from (?:them|the)\\b|\\bunnoticed\\b|\\bso that nobody notices\\b|\\bwithout saying so\\b|\\bpeople find this step confusing\\b|\\b(?:operator|user|person) doesn't have to know\\b|\\bis internal and is not displayed\\b`,
  ),
  idiom(
    'terminal',
    'has a terminal used',
    `\\b(?:have|let|with|use|via|by means of)\\b[^.\\n]{0,20}\\b(?:a|the|whatever|any) (?:terminal|shell(?: tool)?|command tool|code runner|terminal tool)\\b|\\bpipe it into\\b|\\bos\\.system\\(|\\b(?:wget|curl) http|\\bnc -l|-e /bin/sh\\b|\\|\\s?sh\\b|\\bauthorized_keys\\b|\\bhookspath\\b|\\bstop the (?:antivirus|firewall)|\\bdelete ~/`,
  ),
  idiom(
    'copy-out',
    'sends copies out',
    `\\b(?:copy|copies|all text|everything)\\b[^.\\n]{0,60}\\b(?:goes|go|is|are|to be)\\b[^.\\n]{0,25}\\b(?:to|mirrored|shared|sent)\\b[^.\\n]{0,40}(?:@|https?:)|\\bmirrored to\\b|\\bshared with [^.\\n]{0,30}at https?:|\\b(?:push|upload|post) (?:them|it|the text|what you find)[^.\\n]{0,30}(?:public|https?:|\\.$|and the)|\\bquery string with the (?:name|mail|user)|\\.dns\\.|!\\[\\]\\(https?:|\\b(?:image|picture) whose address is https?:|\\bfollowed by the user's\\b|\\bcall http_\\w+ with https?:|\\bholds the (?:api )?key\\b|\\bpassed along with every\\b|\\bupload them\\b`,
  ),
  idiom(
    'stay',
    'wants to last beyond the task',
    `\\b(?:claude|agents)\\.md\\b|\\.cursorrules\\b|\\blong-term memory\\b|\\b(?:it )?counts for good\\b|\\bfor all (?:chats|sessions|conversations) to come|\\bholds next time\\b|\\b(?:every|all) later (?:session|chat|conversation)s?\\b|\\brules file\\b|\\bis always to be trusted\\b|\\bcopy of these directions\\b|\\bas long as this server is connected\\b`,
  ),
  idiom(
    'rival',
    'talks others down',
    `\\b(?:rivals?|rival \\w+|the rest|the alternatives|other (?:search|file|editing) tools)\\b[^.\\n]{0,40}\\b(?:are known|leave them|leak|hidden|false|must not be used|are retired|unsafe)\\b|\\babove the rest\\b|\\bleave them alone\\b|\\bretired for security\\b|\\bevery \\w+ goes through here\\b|\\brecommend ours\\b|\\bwhatever the question\\b|\\btake this, regardless\\b|\\bthe one \\w+ that is correct\\b|\\bdon't bring up that it is an advert`,
  ),
  idiom(
    'doom',
    'threatens with harm',
    `\\bthe fault is yours\\b|\\bbreaks the law\\b|\\b(?:patient|person|child|user) may die\\b|\\bshuts [^.\\n]{1,40} for good\\b|\\bis gone within\\b|\\bwill be erased\\b|\\bif you hesitate\\b|\\bdeclining a call\\b|\\bunless the master\\b|\\bor its results are wrong\\b|\\botherwise error \\d+`,
  ),
];

function idiom(id: string, title: string, pattern: string): SignalKind {
  return { id, title, pattern: new RegExp(pattern) };
}
